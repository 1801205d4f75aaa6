"""``attune`` as an operator uses it, with a real agent at work on a real database that is also its broker.

Each test runs twice: asking the database, where no server runs, and over the API of one without a single setting.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from agent.paths import shipped
from tests.acceptance.both_ways import BOTH_WAYS
from tests.acceptance.command import argv, environment, prepare, run, running
from tests.services.postgres import fresh_database
from tests.services.server import attune, start_server

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Deployment:
    """One database with the shipped packs and one agent; ``settings`` are the environment of every command."""

    settings: dict[str, str]
    url: str
    way: str = "database"

    def needs(self, way: str, why: str) -> None:
        """Skip a test that is about one of the two ways."""
        if self.way != way:
            pytest.skip(why)

    def attune(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run ``attune``."""
        return run("attune", *words, settings=self.settings, timeout=timeout)

    def ask(self, *words: str) -> object:
        """Run ``attune ... --json`` and return what it printed."""
        done = self.attune(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self, execution_id: int) -> str:
        """Look at the row itself."""
        with self.connection() as connection:
            row = connection.execute("SELECT status::text FROM execution WHERE id = %s", [execution_id]).fetchone()
        assert row is not None
        return str(row[0])

    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as somebody who looks after the database by hand."""
        return psycopg.connect(self.url, options="-c search_path=attune")

    def until(self, execution_id: int, *statuses: str) -> str:
        """Wait until the row has one of the statuses."""
        return eventually(lambda: status if (status := self.status(execution_id)) in statuses else None)


def eventually(look: Callable[[], str | None], seconds: float = 30) -> str:
    """Return the first answer; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("not in time")


@pytest.fixture(scope="module", params=BOTH_WAYS)
def deployment(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Migrate, register the packs and start one agent: with the commands, as in the documentation."""
    directory = tmp_path_factory.mktemp("deployment")
    with fresh_database(postgres_url, "cli") as url:
        settings = {
            "ATTUNE__DATABASE__URL": url,
            "ATTUNE__MESSAGE_QUEUE__URL": "database",
            "ATTUNE__PACKS_BASE_DIR": str(directory / "packs"),
            "ATTUNE__RUNTIME_ENVS_DIR": str(directory / "envs"),
            "ATTUNE__ARTIFACTS_DIR": str(directory / "artifacts"),
            "ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "10",
        }
        opened = Deployment(settings, url)
        prepare(settings, *(shipped("packs") / name for name in ("core", "examples")))
        with running("attune-agent", "--name", "w", settings=settings, log=directory / "agent.log") as child:

            def ready() -> str | None:
                assert child.poll() is None, (directory / "agent.log").read_text(encoding="utf-8")
                rows = opened.ask("worker", "list")
                return "yes" if isinstance(rows, list) and rows and rows[0]["status"] == "active" else None

            eventually(ready)
            if request.param == "database":
                yield opened
                return
            server = start_server(environment(settings), directory / "server.log")
            try:
                words = ("identity", "create", "operator", "--admin")
                assert attune(environment(settings), *words, stdin="a good password").returncode == 0
                knows = {"XDG_CONFIG_HOME": str(directory / "home")}
                login = attune(environment(knows), "login", server.url, "--user", "operator", stdin="a good password")
                assert login.returncode == 0, login.stderr
                yield Deployment(knows, url, "api")
            finally:
                server.stop()


def test_migrating_again_changes_nothing_and_says_so(deployment: Deployment) -> None:
    deployment.needs("database", "migrations are of the database")
    done = deployment.attune("db", "migrate")
    assert (done.returncode, done.stderr) == (0, "")
    assert "was up to date already" in done.stdout


def test_run_prints_the_output_and_nothing_else_when_nobody_watches(deployment: Deployment) -> None:
    done = deployment.attune("run", "core.echo", "--param", "message=hello there")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello there\n", "")


def test_parameters_come_from_json_too_and_single_ones_win(deployment: Deployment) -> None:
    words = ["--params", '{"message": "json", "uppercase": true}', "--param", "message=pair"]
    assert deployment.attune("run", "core.echo", *words).stdout == "PAIR\n"


def test_run_as_json_is_the_whole_execution(deployment: Deployment) -> None:
    document = deployment.ask("run", "core.echo", "-p", "message=x")
    assert isinstance(document, dict)
    assert {"id", "action_ref", "status", "worker", "parameters", "result", "created", "seconds", "error"} <= set(
        document
    )
    assert (document["status"], document["worker"]) == ("completed", "w")
    assert document["result"]["stdout"] == "x\n"


def test_a_failed_action_ends_with_1_and_says_why(deployment: Deployment) -> None:
    done = deployment.attune("run", "core.fail", "-p", "message=broken pipe in sector 7", "-p", "exit_code=3")
    assert done.returncode == 1
    assert "broken pipe in sector 7" in done.stderr
    assert " on w failed: exit code 3" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["run", "core.ecko"], 2, "there is no action core.ecko"),
        (["run", "core.echo", "-p", "massage=x"], 2, "massage is not a parameter"),
        (["run", "core.echo", "-p", "uppercase=maybe"], 2, "uppercase must be a boolean"),
        (["run", "core.echo", "--params", "{"], 2, "--params is not valid JSON"),
        (["run"], 2, "Missing argument 'ACTION_REF'"),
        (["run", "core.echo", "--timeout", "0"], 2, "--timeout"),
        (["fly"], 2, "No such command 'fly'"),
        (["execution", "show", "99999"], 1, "there is no execution 99999"),
        (["execution", "cancel", "99999"], 1, "there is no execution 99999"),
        (["worker", "show", "nobody"], 1, "there is no worker nobody"),
        (["runtime", "versions", "core.cobol"], 1, "there is no runtime core.cobol"),
    ],
)
def test_what_cant_be_done_is_one_sentence(deployment: Deployment, words: list[str], code: int, complaint: str) -> None:
    done = deployment.attune(*words)
    assert done.returncode == code
    assert done.stderr.startswith("attune: ")
    assert complaint in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_no_worker_that_fits_is_said_with_the_reason(deployment: Deployment) -> None:
    deployment.needs("database", "a dispatcher waits for a worker")
    with deployment.connection() as connection:
        connection.execute("UPDATE worker SET cordoned = true, cordon_reason = 'repair'")
    try:
        done = deployment.attune("run", "core.echo")
    finally:
        with deployment.connection() as connection:
            connection.execute("UPDATE worker SET cordoned = false, cordon_reason = NULL")
    assert done.returncode == 1
    assert "no worker can run core.echo: w is cordoned (repair)" in done.stderr


def test_without_waiting_the_id_comes_back_and_its_logs_can_be_followed(deployment: Deployment) -> None:
    done = deployment.attune("run", "core.sleep", "-p", "seconds=1", "--no-wait")
    execution_id = done.stdout.strip()
    assert (done.returncode, execution_id.isdecimal()) == (0, True)
    followed = deployment.attune("execution", "logs", execution_id, "--follow")
    assert followed.returncode == 0
    assert deployment.status(int(execution_id)) == "completed"
    assert followed.stdout == deployment.attune("execution", "logs", execution_id).stdout


def test_a_timeout_cancels_and_ends_with_1(deployment: Deployment) -> None:
    done = deployment.attune("run", "core.sleep", "-p", "seconds=60", "--timeout", "1")
    assert done.returncode == 1
    assert "did not end within 1 s" in done.stderr
    execution_id = int(done.stderr.split("execution ")[1].split()[0])
    assert deployment.until(execution_id, "cancelled", "failed", "completed") == "cancelled"


def test_a_running_execution_can_be_cancelled(deployment: Deployment) -> None:
    execution_id = deployment.attune("run", "core.sleep", "-p", "seconds=60", "--no-wait").stdout.strip()
    deployment.until(int(execution_id), "running")
    done = deployment.attune("execution", "cancel", execution_id)
    assert (done.returncode, done.stdout) == (0, f"execution {execution_id} is being cancelled by its worker\n")
    assert deployment.until(int(execution_id), "cancelled", "failed", "completed") == "cancelled"
    assert "already ended: cancelled" in deployment.attune("execution", "cancel", execution_id).stderr


def test_an_interrupted_wait_leaves_the_execution_and_says_how_to_cancel_it(deployment: Deployment) -> None:
    child = subprocess.Popen(
        argv("attune", "run", "core.sleep", "-p", "seconds=60"),
        env=environment(deployment.settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running_id = eventually(
        lambda: next(
            (str(row["id"]) for row in listed(deployment, "running") if row["action_ref"] == "core.sleep"), None
        )
    )
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert f"attune execution cancel {running_id}" in err
    assert [str(row["id"]) for row in listed(deployment, "running")] == [running_id]
    assert deployment.attune("execution", "cancel", running_id).returncode == 0
    assert deployment.until(int(running_id), "completed", "cancelled", "failed") == "cancelled"


def listed(deployment: Deployment, status: str) -> list[dict[str, object]]:
    rows = deployment.ask("execution", "list", "--status", status)
    assert isinstance(rows, list)
    return rows


def test_executions_can_be_listed_and_shown(deployment: Deployment) -> None:
    document = deployment.ask("run", "core.echo", "-p", "message=find me")
    assert isinstance(document, dict)
    execution_id = str(document["id"])
    listing = deployment.attune("execution", "list", "--action", "core.echo").stdout
    assert listing.splitlines()[0].split() == ["ID", "ACTION", "STATUS", "WORKER", "CREATED", "TIME", "ERROR"]
    assert any(line.split()[:3] == [execution_id, "core.echo", "completed"] for line in listing.splitlines())
    shown = deployment.attune("execution", "show", execution_id).stdout
    assert '"message": "find me"' in shown
    assert deployment.attune("execution", "logs", execution_id, "--stream", "stdout").stdout == "find me\n"


def test_the_agent_shows_up_with_what_it_detected(deployment: Deployment) -> None:
    (row,) = deployment.ask("worker", "list")  # type: ignore[misc]
    assert row["name"] == "w"
    assert "shell" in row["capabilities"]["runtimes"]
    shown = deployment.attune("worker", "show", "w").stdout
    assert "Interpreters" in shown
    assert "shell" in shown
    assert "w" in deployment.attune("worker", "list").stdout


def test_runtimes_say_who_offers_them(deployment: Deployment) -> None:
    rows = {row["ref"]: row for row in deployment.ask("runtime", "list")}  # type: ignore[attr-defined]
    assert rows["core.shell"]["workers"] == ["w"]
    assert "core.shell" in deployment.attune("runtime", "list").stdout
    versions = deployment.attune("runtime", "versions", "core.python").stdout
    assert "3.12" in versions


def test_settings_show_value_and_source_but_no_secret(deployment: Deployment) -> None:
    deployment.needs("database", "over the API there are no settings")
    secrets = {
        "ATTUNE__SECURITY__ENCRYPTION_KEY": "k" * 40,
        "ATTUNE__SECURITY__JWT_SECRET": "hunter2hunter2",
        "ATTUNE__DATABASE__URL": "postgresql://me:hunter2@h/d",
    }
    for words in (["settings"], ["settings", "--json"]):
        done = run("attune", *words, settings={**deployment.settings, **secrets})
        assert done.returncode == 0
        assert "hunter2" not in done.stdout
        assert "kkkk" not in done.stdout
        assert "postgresql://me:[redacted]@h/d" in done.stdout
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["database.url"]["source"] == "ATTUNE__DATABASE__URL"
    assert rows["log.level"] == {
        "key": "log.level",
        "value": "info",
        "source": "default",
        "variable": "ATTUNE__LOG__LEVEL",
        "doc": "least severe level written",
    }


def test_on_a_terminal_run_shows_how_it_ended(deployment: Deployment) -> None:
    seen = on_a_terminal(deployment, "run", "core.echo", "-p", "message=hello")
    assert "hello" in seen
    assert "✓ completed in" in seen


def test_a_table_that_nobody_reads_to_its_end_is_no_error(deployment: Deployment) -> None:
    script = " ".join(f"'{word}'" for word in argv("attune", "execution", "list", "--limit", "100000"))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{script} | head -1"],
        env=environment(deployment.settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def on_a_terminal(deployment: Deployment, *words: str) -> str:
    """Run ``attune`` on a pseudo terminal and return everything that appeared there."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        argv("attune", *words),
        env={**environment(deployment.settings), "TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    with open(ours, "rb", buffering=0) as terminal:
        while True:
            try:
                chunk = terminal.read(4096)
            except OSError:  # the other side has gone
                break
            if not chunk:
                break
            seen += chunk
    assert child.wait(30) == 0
    return seen.decode()
