"""``attune-agent`` and ``attune-worker`` at the command line, without any service behind them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from tests.acceptance.command import environment, run

HEAVY = ("psycopg", "pika", "yaml", "regex", "jwt", "Crypto", "rich", "click")


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """A PATH on which there is one interpreter, a Ruby that says its version."""
    ruby = tmp_path / "bin" / "ruby"
    ruby.parent.mkdir()
    ruby.write_text("#!/bin/sh\necho ruby 3.3.0\n", encoding="utf-8")
    ruby.chmod(0o755)
    return {"PATH": str(ruby.parent)}


@pytest.mark.parametrize("program", ["attune", "attune-agent", "attune-worker"])
@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_one_line(program: str, option: str) -> None:
    done = run(program, option)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{program} {__version__}\n", "")


@pytest.mark.parametrize("program", ["attune", "attune-agent", "attune-worker"])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_option(program: str, option: str) -> None:
    done = run(program, option)
    assert done.returncode == 0
    for word in ("--config", "--version", "--help", "ATTUNE__DATABASE__URL"):
        assert word in done.stdout or (program == "attune-worker" and word.startswith("ATTUNE"))


def test_detection_reports_what_is_on_path_and_a_shell(machine: dict[str, str]) -> None:
    done = run("attune-agent", "--detect-only", settings=machine)
    assert done.returncode == 0
    assert f"  ✓ ruby       {machine['PATH']}/ruby (3.3.0)" in done.stdout.splitlines()
    assert "ATTUNE_WORKER_RUNTIMES=shell,ruby" in done.stdout.splitlines()
    assert "Detected 2 runtime(s):" in done.stdout


def test_detection_as_json_has_the_fixed_shape(machine: dict[str, str]) -> None:
    done = run("attune-agent", "--detect-only", "--json", settings=machine)
    document = json.loads(done.stdout)
    assert document["runtimes"][1] == {"name": "ruby", "path": f"{machine['PATH']}/ruby", "version": "3.3.0"}
    assert document["env"] == {"ATTUNE_WORKER_RUNTIMES": "shell,ruby"}
    assert (done.returncode, done.stderr) == (0, "")


def test_detection_needs_no_configuration_and_reads_none(machine: dict[str, str], tmp_path: Path) -> None:
    broken = {"ATTUNE_CONFIG": str(tmp_path / "missing.yaml"), "ATTUNE__DATABASE__URL": "", "ATTUNE__LOG__LEVEL": "x"}
    assert run("attune-agent", "--detect-only", settings={**machine, **broken}).returncode == 0


def test_detection_and_the_doctor_look_where_the_named_configuration_says(
    machine: dict[str, str], tmp_path: Path
) -> None:
    python = tmp_path / "more/3.9.1/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho Python 3.9.1\n", encoding="utf-8")
    python.chmod(0o755)
    config = tmp_path / "config.yaml"
    config.write_text(f"runtimes:\n  search_paths: [{tmp_path}/more]\n", encoding="utf-8")
    line = f"  ✓ python     {python} (3.9.1)"
    by_file = run("attune-agent", "--detect-only", "--config", str(config), settings=machine)
    assert line in by_file.stdout.splitlines()
    by_variable = {"ATTUNE__RUNTIMES__SEARCH_PATHS": f"{tmp_path}/more"}
    assert line in run("attune-agent", "--detect-only", settings={**machine, **by_variable}).stdout.splitlines()
    assert line not in run("attune-agent", "--detect-only", settings=machine).stdout.splitlines()
    found = json.loads(
        run("attune-agent", "doctor", "--json", settings={**machine, "ATTUNE_CONFIG": str(config)}).stdout
    )
    assert {"check": "interpreter python", "detail": f"{python} 3.9.1"}.items() <= {
        key: value for item in found["findings"] if item["check"] == "interpreter python" for key, value in item.items()
    }.items()


def test_detection_under_an_override_says_so_and_shows_everything(machine: dict[str, str]) -> None:
    done = run("attune-agent", "--detect-only", settings={**machine, "ATTUNE_WORKER_RUNTIMES": "python"})
    assert done.stdout.startswith("NOTE: ATTUNE_WORKER_RUNTIMES is set")
    assert "ATTUNE_WORKER_RUNTIMES=shell,ruby" in done.stdout.splitlines()


def test_detection_works_in_a_locale_that_has_no_check_mark(machine: dict[str, str]) -> None:
    bare = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("attune-agent", "--detect-only", settings={**machine, **bare})
    assert done.returncode == 0
    assert "ruby" in done.stdout


@pytest.mark.parametrize("words", [["--version"], ["--detect-only"], ["--detect-only", "--json"], ["--help"]])
def test_quick_answers_load_nothing_heavy(words: list[str], machine: dict[str, str]) -> None:
    code = (
        "import sys\nfrom agent.cli.main import run_agent\n"
        f"run_agent({words!r})\n"
        f"sys.exit(', '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(machine), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_loads_hardly_more_than_python_itself() -> None:
    def loaded(statement: str) -> set[str]:
        code = f"import sys, atexit\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{statement}"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
        return set(done.stderr.split())

    more = loaded("from agent.cli.main import run_agent; run_agent(['--version'])") - loaded("pass")
    assert len(more) < 30, sorted(more)


@pytest.mark.parametrize("program", ["attune-agent", "attune-worker"])
@pytest.mark.parametrize(
    ("words", "settings", "complaint"),
    [
        (["--nonsense"], {}, "unknown option --nonsense"),
        (["nonsense"], {}, "nonsense"),
        (["--config"], {}, "--config needs a value"),
        (["--config", "/no/such.yaml"], {}, "/no/such.yaml doesn't exist (named by --config)"),
        ([], {"ATTUNE_CONFIG": "/no/such.yaml"}, "/no/such.yaml doesn't exist (named by ATTUNE_CONFIG)"),
        ([], {"ATTUNE__WORKER__PORT": "x"}, "ATTUNE__WORKER__PORT: worker.port must be a whole number, not 'x'"),
        ([], {"ATTUNE__SECURITY__ENCRYPTION_KEY": "short"}, "must have at least 32 characters; it has 5"),
        ([], {}, "no message broker is configured"),
        ([], {"ATTUNE__MESSAGE_QUEUE__URL": ""}, "no message broker is configured"),
    ],
)
def test_wrong_usage_and_configuration_end_with_2_and_one_sentence(
    program: str, words: list[str], settings: dict[str, str], complaint: str
) -> None:
    done = run(program, *words, settings=settings)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"{program}: ")]
    assert len(lines) == 1
    assert complaint in lines[0]
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_an_unreachable_database_ends_with_3_and_says_where_it_should_be() -> None:
    settings = {
        "ATTUNE__DATABASE__URL": "postgresql://u:hunter2@127.0.0.1:9/db",
        "ATTUNE__MESSAGE_QUEUE__URL": "database",
    }
    for done in (run("attune-agent", settings=settings), run("attune", "worker", "list", settings=settings)):
        assert done.returncode == 3
        assert "127.0.0.1:9/db" in done.stderr
        assert "hint: check database.url (ATTUNE__DATABASE__URL)" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.postgres
def test_an_unreachable_broker_ends_with_4_and_hides_its_password(database_url: str) -> None:
    settings = {
        "ATTUNE__DATABASE__URL": database_url,
        "ATTUNE__MESSAGE_QUEUE__URL": "amqp://u:hunter2@127.0.0.1:9/%2f",
        "ATTUNE__MESSAGE_QUEUE__CONNECT_TIMEOUT": "2",
    }
    done = run("attune-agent", settings=settings)
    assert done.returncode == 4
    assert "hint: check message_queue.url" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_a_warning_about_an_unknown_key_is_one_log_line() -> None:
    done = run("attune-agent", settings={"ATTUNE__WORKER__NAEM": "x", "ATTUNE__LOG__FORMAT": "json"})
    record = json.loads(done.stderr.splitlines()[0])
    assert record["level"] == "warn"
    assert "did you mean worker.name?" in record["message"]


def test_without_its_extra_the_operators_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['rich'] = None; from agent.cli.operator import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "worker", "list"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("hint: pip install 'attune-agent[operator]'\n")
    assert "Traceback" not in done.stderr
