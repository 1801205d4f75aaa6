"""Where a setting comes from, and which source wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.configuration import load_settings
from agent.errors import ConfigurationError


@pytest.fixture
def write(tmp_path: Path):
    """Write a configuration file and return its path."""

    def write_file(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_without_any_source_every_value_is_the_default() -> None:
    loaded = load_settings({})
    assert loaded.settings.database.schema == "attune"
    assert loaded.settings.worker.max_concurrent_tasks == 10
    assert loaded.sources["database.url"] == "default"
    assert loaded.warnings == ()


def test_later_sources_win_in_the_order_of_the_contract(write) -> None:
    path = write("environment: blue\ndatabase: {schema: a}\nworker: {name: base, heartbeat_interval: 1, port: 1}\n")
    write("worker: {name: overlay, heartbeat_interval: 2}\n", "config.blue.yaml")
    environ = {"ATTUNE_CONFIG": str(path), "ATTUNE__WORKER__NAME": "variable"}
    loaded = load_settings(environ, overrides={"worker.name": "option"})
    worker = loaded.settings.worker
    assert (loaded.settings.database.schema, worker.port, worker.heartbeat_interval, worker.name) == (
        "a",
        1,
        2.0,
        "option",
    )
    assert load_settings(environ).settings.worker.name == "variable"
    assert loaded.sources["worker.name"] == "command line"
    assert loaded.sources["worker.heartbeat_interval"] == f"{path.with_name('config.blue.yaml')}:1"
    assert load_settings(environ).sources["worker.name"] == "ATTUNE__WORKER__NAME"
    assert loaded.files == (path, path.with_name("config.blue.yaml"))


def test_the_option_wins_over_the_variable_that_names_a_file(write) -> None:
    first, second = write("worker: {name: first}", "1.yaml"), write("worker: {name: second}", "2.yaml")
    loaded = load_settings({"ATTUNE_CONFIG": str(first)}, config=second)
    assert loaded.settings.worker.name == "second"


@pytest.mark.parametrize("named_by", ["--config", "ATTUNE_CONFIG"])
def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, named_by: str) -> None:
    missing = tmp_path / "no.yaml"
    environ = {"ATTUNE_CONFIG": str(missing)} if named_by == "ATTUNE_CONFIG" else {}
    with pytest.raises(ConfigurationError, match=rf"no\.yaml.*{named_by}") as caught:
        load_settings(environ, config=missing if named_by == "--config" else None)
    assert caught.value.exit_code == 2


def test_the_working_directory_of_a_foreign_image_is_not_read(tmp_path: Path, monkeypatch, write) -> None:
    write("worker: {name: planted}")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).settings.worker.name != "planted"


def test_the_working_directory_is_read_inside_the_source_tree(tmp_path: Path, monkeypatch, write) -> None:
    write("worker: {name: mine}")
    monkeypatch.setattr("agent.configuration.files.source_tree", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).settings.worker.name == "mine"


def test_the_environment_variable_chooses_the_overlay(write) -> None:
    path = write("environment: blue\n")
    write("worker: {name: from-red}", "config.red.yaml")
    loaded = load_settings({"ATTUNE__ENVIRONMENT": "red"}, config=path)
    assert loaded.settings.worker.name == "from-red"
    assert loaded.settings.environment == "red"


def test_an_environment_name_that_is_a_path_is_refused(write) -> None:
    with pytest.raises(ConfigurationError, match="plain name"):
        load_settings({"ATTUNE__ENVIRONMENT": "../secrets"}, config=write(""))


@pytest.mark.parametrize("text", ["", "---\n", "# only a comment\n", "database:\n", "null\n"])
def test_an_empty_file_or_section_changes_nothing(write, text: str) -> None:
    assert load_settings({}, config=write(text)).settings.database.schema == "attune"


def test_null_in_a_file_means_the_default(write) -> None:
    loaded = load_settings({}, config=write("database: {schema: null, max_connections: ~}\n"))
    assert (loaded.settings.database.schema, loaded.settings.database.max_connections) == ("attune", 50)
    assert loaded.sources["database.schema"] == "default"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("database: [", r"config\.yaml:1: is not valid YAML"),
        ("a: b: c", r"config\.yaml:1: is not valid YAML"),
        ("- a\n", "must be a map of sections"),
        ("database: here\n", r"config\.yaml:1: database must be a section \(a map\), not 'here'"),
        ("a: 1\n---\nb: 2\n", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]\nworker: {port: 2}", ""),
    ],
)
def test_a_malformed_file_is_an_error_that_names_its_line(write, text: str, complaint: str) -> None:
    if not complaint:
        assert load_settings({}, config=write(text)).settings.worker.port == 2
        return
    with pytest.raises(ConfigurationError, match=complaint):
        load_settings({}, config=write(text))


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\x00\xff\xfe\x80")
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        load_settings({}, config=path)


def test_anchors_and_merge_keys_are_understood(write) -> None:
    text = "shared: &shared {heartbeat_interval: 7}\nworker:\n  <<: *shared\n  port: 9\n"
    worker = load_settings({}, config=write(text)).settings.worker
    assert (worker.heartbeat_interval, worker.port) == (7.0, 9)


def test_the_name_of_a_worker_comes_from_option_config_variable_hostname_in_this_order(write, monkeypatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    environ = {"ATTUNE_WORKER_NAME": " variable "}
    config = write("worker: {name: file}")
    assert load_settings(environ, config=config, overrides={"worker.name": "option"}).settings.worker.name == "option"
    assert load_settings(environ, config=config).settings.worker.name == "file"
    loaded = load_settings(environ)
    assert (loaded.settings.worker.name, loaded.sources["worker.name"]) == ("variable", "ATTUNE_WORKER_NAME")
    assert load_settings({"ATTUNE_WORKER_NAME": " "}).settings.worker.name == "worker-box"
    assert load_settings({}).sources["worker.name"] == "default (hostname)"


def test_an_unknown_worker_type_in_the_variable_is_ignored_with_a_warning() -> None:
    loaded = load_settings({"ATTUNE_WORKER_TYPE": "spaceship"})
    assert loaded.settings.worker.worker_type is None
    assert "ATTUNE_WORKER_TYPE" in loaded.warnings[0]
    assert load_settings({"ATTUNE_WORKER_TYPE": "Container"}).settings.worker.worker_type == "container"


def test_an_empty_override_of_runtimes_differs_from_none() -> None:
    assert load_settings({}).variables.worker_runtimes is None
    assert load_settings({"ATTUNE_WORKER_RUNTIMES": ""}).variables.worker_runtimes == ""


def test_a_worker_drains_in_five_seconds_less_than_it_has_until_the_kill() -> None:
    loaded = load_settings({"ATTUNE_STOP_GRACE_PERIOD": "45"})
    assert loaded.settings.worker.shutdown_timeout == 40
    assert loaded.sources["worker.shutdown_timeout"] == "ATTUNE_STOP_GRACE_PERIOD"


def test_a_drain_that_is_configured_counts_whatever_the_grace_period_is() -> None:
    loaded = load_settings({"ATTUNE_STOP_GRACE_PERIOD": "45", "ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "7"})
    assert loaded.settings.worker.shutdown_timeout == 7


@pytest.mark.parametrize("period", ["40s", "-1", "nan", "0"])
def test_a_grace_period_that_is_no_number_of_seconds_is_ignored_with_a_warning(period: str) -> None:
    loaded = load_settings({"ATTUNE_STOP_GRACE_PERIOD": period})
    assert loaded.settings.worker.shutdown_timeout == 30
    assert "ATTUNE_STOP_GRACE_PERIOD" in loaded.warnings[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/a", ("/opt/a",)),
        (" /opt/a, /opt/b c ,", ("/opt/a", "/opt/b c")),
        ('["/opt/a,b"]', ("/opt/a,b",)),
        ("", ()),
    ],
)
def test_a_list_in_a_variable_is_json_or_separated_by_commas(text: str, expected: tuple[str, ...]) -> None:
    assert load_settings({"ATTUNE__RUNTIMES__SEARCH_PATHS": text}).settings.runtimes.search_paths == expected


def test_a_list_in_a_file_is_written_as_one(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("runtimes:\n  search_paths: /opt/a,/opt/b\n")
    with pytest.raises(ConfigurationError, match=r"runtimes\.search_paths must be a list"):
        load_settings({}, config=file)


def test_a_section_may_have_sections(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("runtimes:\n  search_paths: [/opt/pythons]\n  python:\n    installer: pip\n    instaler: uv\n")
    loaded = load_settings({}, config=file)
    assert loaded.settings.runtimes.python.installer == "pip"
    assert loaded.settings.runtimes.search_paths == ("/opt/pythons",)
    assert any("runtimes.python.instaler is not a known setting" in warning for warning in loaded.warnings)
    over = load_settings({"ATTUNE__RUNTIMES__PYTHON__INSTALLER": "uv"}, config=file)
    assert over.settings.runtimes.python.installer == "uv"
    assert over.sources["runtimes.python.installer"] == "ATTUNE__RUNTIMES__PYTHON__INSTALLER"
