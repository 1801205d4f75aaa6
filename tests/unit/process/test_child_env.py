"""Children get the container's environment as it was before the one-file agent changed it."""

from agent.process.child_env import container_environment

CONTAINER = {"PATH": "/bin", "LANG": "de_DE.UTF-8", "VIRTUAL_ENV": "/opt/venv"}
LAUNCHER = {
    "ATTUNE_LAUNCHER_SELF": "/opt/attune/bin/attune-agent",
    "ATTUNE_LAUNCHER_LOCK": "3",
    "ATTUNE_LAUNCHER_ADDED": "LC_ALL,SSL_CERT_FILE",
    "LC_ALL": "C",
    "SSL_CERT_FILE": "/etc/ssl/cert.pem",
    "_PYI_ARCHIVE_FILE": "/opt/attune/bin/.attune-agent/attune-agent",
    "_PYI_PARENT_PROCESS_LEVEL": "0",
}


def test_what_the_launcher_added_is_gone() -> None:
    assert container_environment(CONTAINER | LAUNCHER) == CONTAINER


def test_what_the_launcher_took_away_is_back() -> None:
    saved = {"ATTUNE_LAUNCHER_ENV_LD_PRELOAD": "/lib/libx.so", "ATTUNE_LAUNCHER_ENV_LC_ALL": "fr_FR.UTF-8"}
    expected = CONTAINER | {"LD_PRELOAD": "/lib/libx.so", "LC_ALL": "fr_FR.UTF-8"}
    assert container_environment(CONTAINER | LAUNCHER | saved) == expected


def test_the_agents_own_settings_are_left_out() -> None:
    assert container_environment(CONTAINER | {"ATTUNE__DATABASE__URL": "postgresql://u:p@h/d"}) == CONTAINER


def test_outside_the_one_file_agent_nothing_is_added_or_taken() -> None:
    assert container_environment(CONTAINER | {"LC_ALL": "C"}) == CONTAINER | {"LC_ALL": "C"}
