"""What is old goes, and nothing else: rows of every kind, versions by every policy, files, what hostile names say."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from agent.db.pool import Database
from agent.retention.pruning import Pruning
from agent.settings import DatabaseSettings, RetentionSettings, Settings
from tests.services.deployment import Deployment, running_deployment
from tests.services.server import ServerProcess, attune, start_server
from tests.services.waiting import until

pytestmark = pytest.mark.postgres

ENDED = ("completed", "failed", "cancelled", "timeout", "abandoned")
LIVE = ("requested", "scheduling", "scheduled", "running", "canceling")
OLD = "60 days"


class Place:
    """A database of its own and a directory of artifacts; what is made is as old as a test says."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.root = deployment.artifacts
        self.settings = Settings(
            database=DatabaseSettings(url=deployment.database_url, schema=deployment.schema),
            retention=RetentionSettings(batch=7),
            artifacts_dir=self.root,
        )

    def prune(
        self, *, rest: Any = lambda seconds: None, stopped: Any = lambda: False, **changed: Any
    ) -> dict[str, int]:
        """Run one round; return what went, without zeros."""
        settings = dataclasses.replace(self.settings, retention=dataclasses.replace(self.settings.retention, **changed))
        database = Database(settings.database, application_name="prune")
        with contextlib.closing(database), contextlib.closing(Pruning.connect(database)) as connection:
            found = Pruning(settings, rest=rest).run_once(connection)
        return {kind: number for kind, number in found.items() if number}

    def execution(self, status: str = "completed", age: str = OLD, **columns: Any) -> int:
        """Make an execution that has this status since so long, with its directory."""
        made = self.deployment.insert("execution", {"action_ref": "core.echo", "status": status} | columns)
        with self.unguarded():
            self.deployment.database.execute(
                "UPDATE execution SET updated = now() - %s::interval WHERE id = %s", [age, made]
            )
        self.file(f"execution_{made}/stdout.log")
        return made

    @contextlib.contextmanager
    def unguarded(self) -> Iterator[None]:
        """Write times as a test wants them, without the triggers that write their own."""
        self.deployment.database.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            self.deployment.database.execute("RESET session_replication_role")

    def artifact(self, policy: str = "days", limit: int = 7) -> int:
        """Make an artifact with a policy."""
        values = {"ref": "core.echo.stdout.log", "type": "file_text", "retention_policy": policy}
        return self.deployment.insert("artifact", values | {"retention_limit": limit})

    def version(self, artifact: int, number: int, age: str = "0 s", **columns: Any) -> str:
        """Make a version with its file; return the path of the file."""
        path = str(columns.pop("file_path", f"core/echo/{artifact}/v{number}.txt"))
        values = {"artifact": artifact, "version": number, "file_path": path, "size_bytes": 10}
        with self.unguarded():
            made = self.deployment.insert("artifact_version", values | columns)
            self.deployment.database.execute(
                "UPDATE artifact_version SET created = now() - %s::interval WHERE id = %s", [age, made]
            )
        if not path.startswith(("/", "..")):
            self.file(path)
        return path

    def file(self, path: str, *, age: float = 0.0) -> Path:
        """Make a file of ten bytes that was written ``age`` seconds ago."""
        found = self.root / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text("0123456789")
        if age:
            os.utime(found, (time.time() - age,) * 2)
        return found

    def ids(self, table: str) -> set[int]:
        """The ids of a table."""
        return {row["id"] for row in self.deployment.all(f"SELECT id FROM {table}")}

    def versions(self, artifact: int) -> list[int]:
        """Which versions an artifact has."""
        sql = "SELECT version FROM artifact_version WHERE artifact = %s ORDER BY version"
        return [row["version"] for row in self.deployment.all(sql, [artifact])]


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest) -> Iterator[Place]:
    with running_deployment(request, "database") as deployment:
        yield Place(deployment)


@pytest.fixture
def place(opened: Place) -> Iterator[Place]:
    yield opened
    for table in ("artifact", "execution", "enforcement", "event", "audit_event", "execution_history", "worker"):
        opened.deployment.database.execute(f"DELETE FROM {table}")
    subprocess.run(["rm", "-rf", str(opened.root)], check=True)


# --- rows ---


def test_ended_executions_go_with_their_directories_and_secrets_and_live_ones_never(place: Place) -> None:
    old = [place.execution(status) for status in ENDED for _ in range(3)]
    live = {place.execution(status) for status in LIVE}
    young = {place.execution(status, "29 days") for status in ENDED}
    secret = {"entity_type": "execution_config", "json_path": "/x", "source_kind": "parameter", "encrypted_value": {}}
    for owner in (old[0], min(live)):
        place.deployment.insert("execution_secret_value", secret | {"entity_id": owner})
    gone = place.prune()
    assert gone["executions"] == len(old)
    assert place.ids("execution") == live | young
    assert {int(path.name.partition("_")[2]) for path in place.root.glob("execution_*")} == live | young
    kept = place.deployment.all("SELECT entity_id FROM execution_secret_value")
    assert [row["entity_id"] for row in kept] == [min(live)]
    assert "executions" not in place.prune()
    assert "executions" not in place.prune(execution_days=0), "0 keeps for ever"
    assert place.prune(execution_days=10)["executions"] == len(young)


def test_an_age_beyond_all_dates_keeps_for_ever(place: Place) -> None:
    kept = place.execution()
    names = ("execution_days", "event_days", "history_days", "audit_days", "worker_days")
    assert place.prune(**dict.fromkeys(names, 300_000_000.0)) == {}
    assert place.ids("execution") == {kept}


def test_what_something_unfinished_hangs_on_stays(place: Place) -> None:
    parent, ended_parent, first = (place.execution() for _ in range(3))
    live_parent = place.execution("running")
    place.execution("running", parent=parent)
    place.execution("requested", original_execution=first)
    child = place.execution(parent=live_parent)
    ended_child = place.execution(parent=ended_parent)
    assert place.prune()["executions"] == 2
    left = place.ids("execution")
    assert {parent, first, child, live_parent} <= left
    assert not {ended_parent, ended_child} & left


def test_events_history_and_audit_go_by_their_own_ages(place: Place) -> None:
    database = place.deployment.database
    for age in ("10 days", "40 days", "100 days"):
        database.execute("INSERT INTO event (trigger_ref, created) VALUES ('core.t', now() - %s::interval)", [age])
        database.execute(
            "INSERT INTO audit_event (created, category, event_type, outcome)"
            " VALUES (now() - %s::interval, 'api', 'x', 'success')", [age]
        )  # fmt: skip
        database.execute(
            "INSERT INTO execution_history (time, operation, entity_id) VALUES (now() - %s::interval, 'UPDATE', 1)",
            [age],
        )
    waiting = place.deployment.one("SELECT min(id) AS id FROM event")["id"]
    old = place.deployment.one("SELECT max(id) AS id FROM event")["id"]
    columns = "INSERT INTO enforcement (rule_ref, trigger_ref, event, status, payload, created)"
    for event, status in ((old, "created"), (waiting, "processed")):
        database.execute(
            f"{columns} VALUES ('core.r', 'core.t', %s, %s, '{{}}', now() - interval '99 days')", [event, status]
        )
    database.execute("INSERT INTO server_event (event) SELECT id FROM event ON CONFLICT DO NOTHING")
    gone = place.prune()
    assert (gone.get("events"), gone["audit"], gone["enforcements"]) == (None, 1, 1), "no rule has looked at it"
    database.execute("UPDATE server_event SET processed = now()")
    assert place.prune()["events"] == 1
    database.execute("DELETE FROM server_event")
    ages = "SELECT count(*) AS n FROM execution_history WHERE time < now() - interval '30 days'"
    assert place.deployment.one(ages)["n"] == 0
    assert old in place.ids("event"), "an enforcement of it has not been looked at"


def test_workers_that_never_return_go_when_nothing_names_them_any_more(place: Place) -> None:
    def worker(name: str, status: str = "inactive", ephemeral: str = "true") -> int:
        made = place.deployment.insert(
            "worker", {"name": name, "worker_type": "container", "worker_role": "action", "status": status}
        )
        place.deployment.database.execute(
            "UPDATE worker SET capabilities = %s::jsonb, last_heartbeat = now() - interval '3 days' WHERE id = %s",
            [f'{{"ephemeral": {ephemeral}}}', made],
        )
        return made

    gone = worker("gone")
    kept = {worker("permanent", ephemeral="false"), worker("busy", "busy"), named := worker("named")}
    last = place.execution("completed", "1 day", worker=named)
    assert place.prune()["workers"] == 1
    assert place.ids("worker") == kept
    place.deployment.database.execute("DELETE FROM execution WHERE id = %s", [last])
    assert place.prune()["workers"] == 1
    assert gone not in place.ids("worker")


# --- versions of artifacts and their files ---


@pytest.mark.parametrize(
    ("policy", "limit", "kept_age", "old_age"),
    [("days", 7, "6 days", "8 days"), ("hours", 5, "4 hours", "6 hours"), ("minutes", 90, "1 hour", "2 hours")],
)
def test_versions_go_by_age_with_their_files(
    place: Place, policy: str, limit: int, kept_age: str, old_age: str
) -> None:
    artifact = place.artifact(policy, limit)
    running = place.version(artifact, 1, old_age, execution=place.execution("running"))
    old = [place.version(artifact, number, old_age) for number in range(2, 22)]
    kept = place.version(artifact, 22, kept_age)
    gone = place.prune()
    assert (gone["versions"], gone["bytes"]) == (20, 200)
    assert place.versions(artifact) == [1, 22]
    assert not any((place.root / path).exists() for path in old)
    assert (place.root / kept).exists()
    assert (place.root / running).exists(), "its execution runs"
    assert place.ids("artifact") == {artifact}


@pytest.mark.parametrize("policy", ["days", "hours", "minutes"])
def test_a_limit_beyond_all_dates_keeps_for_ever_and_holds_up_nobody(place: Place, policy: str) -> None:
    endless, short = place.artifact(policy, 2**31 - 1), place.artifact("days", 1)
    place.version(endless, 1, "3000 days")
    place.version(short, 1, "2 days")
    assert place.prune()["versions"] == 1
    assert (place.versions(endless), place.versions(short)) == ([1], [])


def test_only_so_many_versions_are_kept_and_directories_that_are_left_empty_go(place: Place) -> None:
    few, one = place.artifact("versions", 3), place.artifact("days", 1)
    paths = [place.version(few, number) for number in range(1, 31)]
    lonely = place.version(one, 1, "2 days")
    place.prune()
    assert place.versions(few) == [28, 29, 30]
    assert [(place.root / path).exists() for path in paths] == [False] * 27 + [True] * 3
    assert not (place.root / lonely).parent.exists()


def test_the_oldest_versions_of_all_artifacts_make_room(place: Place) -> None:
    first, second = place.artifact("days", 3650), place.artifact("versions", 1000)
    for number in range(1, 21):
        place.version(first, number, f"{100 - number} days")
        place.version(second, number, f"{200 - number} days")
    assert "versions" not in place.prune(max_bytes=400)
    assert place.prune(max_bytes=155)["versions"] == 25
    assert place.versions(second) == []
    assert place.versions(first) == list(range(6, 21))


def test_nothing_outside_the_artifacts_is_removed_whatever_rows_and_links_say(place: Place, tmp_path: Path) -> None:
    victim = tmp_path / "victim" / "v1.txt"
    victim.parent.mkdir()
    victim.write_text("precious")
    artifact = place.artifact()
    place.root.mkdir(exist_ok=True)
    (place.root / "link").symlink_to(victim.parent)
    (place.root / "v9.txt").symlink_to(victim)
    place.file(".attune-api-sentinel")
    live = place.execution("running")
    names = [
        f"../{victim}", str(victim), "link/v1.txt", "v9.txt", "../../etc/passwd", ".attune-api-sentinel",
        f"execution_{live}/stdout.log", "a/../../b", "", "nul\\0", "x" * 5000, ".", "..", "link",
    ]  # fmt: skip
    sql = (
        "INSERT INTO artifact_version (artifact, version, file_path, created)"
        " VALUES (%s, %s, %s, now() - interval '9 days')"
    )
    with place.unguarded():
        for number, name in enumerate(names, 1):
            place.deployment.database.execute(sql, [artifact, number, name])
    ended = place.execution()
    subprocess.run(["rm", "-rf", str(place.root / f"execution_{ended}")], check=True)
    (place.root / f"execution_{ended}").symlink_to(victim.parent)
    gone = place.prune(orphan_grace=0.001)
    assert gone["versions"] == len(names)
    assert victim.read_text() == "precious"
    assert (place.root / ".attune-api-sentinel").exists()
    assert (place.root / f"execution_{live}/stdout.log").exists()
    assert not (place.root / f"execution_{ended}").is_symlink(), "the link itself is what stood for the directory"


def test_a_file_that_another_row_names_too_stays(place: Place) -> None:
    artifact = place.artifact()
    shared = place.version(artifact, 1, "9 days")
    place.version(artifact, 2, file_path=shared)
    assert place.prune()["versions"] == 1
    assert (place.root / shared).exists()


def test_what_no_row_names_goes_when_it_is_old_and_only_what_is_called_as_ours(place: Place) -> None:
    artifact = place.artifact()
    named = place.root / place.version(artifact, 1)
    os.utime(named, (1, 1))
    ours = place.file("core/echo/stdout/log/v8.txt", age=200)
    uploaded = place.file("core/echo/stdout/log/e77.txt", age=200)
    broken_off = place.file(f"core/echo/.{'0a' * 16}.new", age=200)
    theirs = place.file("core/notes.txt", age=200)
    pending = place.file("_pending/executions/4/v1.txt", age=200)
    directory = place.file("execution_987654/stdout.log").parent
    os.utime(directory, (1, 1))
    assert place.prune(orphan_grace=3600.0) == {"orphan_directories": 1}, "a change of its name is young"
    assert not directory.exists()
    # The time of the last change of a file can't be set: a grace that has passed is what is left to try.
    time.sleep(0.05)
    assert place.prune(orphan_grace=0.01)["orphan_files"] == 3
    assert not (uploaded.exists() or broken_off.exists())
    assert (ours.exists(), theirs.exists(), pending.exists(), named.exists()) == (False, True, True, True)


# --- faults ---


def test_killed_after_any_batch_the_next_round_finishes(place: Place) -> None:
    class Killed(BaseException):
        pass

    artifact = place.artifact()
    paths = [place.version(artifact, number, "9 days") for number in range(1, 31)]
    for _ in range(20):
        place.execution()

    def dies(seconds: float) -> None:
        raise Killed

    rounds = 0
    for _ in range(100):
        try:
            place.prune(rest=dies, orphan_grace=0.001)
        except Killed:
            rounds += 1
    assert rounds == 100, "something is done in each"
    time.sleep(0.05)
    place.prune(orphan_grace=0.01)
    assert place.ids("execution") == set()
    assert place.versions(artifact) == []
    assert not any((place.root / path).exists() for path in paths)
    assert list(place.root.glob("execution_*")) == []


def test_what_somebody_holds_is_left_for_later_and_two_at_once_share_the_work(place: Place) -> None:
    held, *others = [place.execution() for _ in range(30)]
    with psycopg.connect(place.deployment.database_url) as other:
        other.execute(f"SET search_path = {place.deployment.schema}")
        other.execute("SELECT 1 FROM execution WHERE id = %s FOR UPDATE", [held])
        assert place.prune()["executions"] == len(others)
        assert place.ids("execution") == {held}
    assert place.prune()["executions"] == 1


def test_an_artifact_that_is_read_while_it_goes_is_read_to_its_end(place: Place) -> None:
    path = place.version(place.artifact(), 1, "9 days")
    with (place.root / path).open() as reader:
        place.prune()
        assert not (place.root / path).exists()
        assert reader.read() == "0123456789"


# --- the command and the part of the server ---


def counted(place: Place, *words: str) -> Mapping[str, int]:
    import json

    done = attune(place.deployment.environment, "prune", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {kind: number for kind, number in found["pruned"].items() if number}


def test_the_command_says_what_would_go_and_then_does_it(place: Place) -> None:
    artifact = place.artifact()
    for number in range(1, 4):
        place.execution()
        place.version(artifact, number, "9 days")
    would = counted(place, "--dry-run")
    assert (would["executions"], would["versions"]) == (3, 3)
    assert len(place.ids("execution")) == 3
    assert place.versions(artifact) == [1, 2, 3]
    done = counted(place)
    assert (done["executions"], done["versions"]) == (3, 3)
    assert place.ids("execution") == set()
    assert "executions" not in counted(place, "--dry-run")


def figure(server: ServerProcess, name: str) -> float:
    lines = httpx.get(f"{server.url}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_of_two_servers_one_prunes_and_the_other_takes_over_when_it_is_killed(place: Place) -> None:
    environment = place.deployment.environment | {
        "ATTUNE__RETENTION__INTERVAL": "0.1",
        "ATTUNE__RETENTION__BATCH": "2",
        "ATTUNE__RETENTION__ORPHAN_GRACE": "0.01",
    }
    with contextlib.ExitStack() as stack:
        servers = []
        for number in (1, 2):
            log = place.deployment.directory / f"retention-{number}.log"
            servers.append(start_server(environment, log, "--only", "retention"))
            stack.callback(servers[-1].stop)
        first = {place.execution() for _ in range(5)}
        until(lambda: not first & place.ids("execution"))
        leads = [figure(server, "attune_retention_leads") for server in servers]
        assert sorted(leads) == [0, 1]
        leader, other = sorted(servers, key=lambda one: -figure(one, "attune_retention_leads"))
        assert figure(leader, 'attune_pruned_total{kind="executions"}') == 5
        many = {place.execution() for _ in range(200)}
        until(lambda: len(many & place.ids("execution")) < 190)
        leader.kill()
        until(lambda: not many & place.ids("execution"))
        assert figure(other, "attune_retention_leads") == 1
        until(lambda: not list(place.root.glob("execution_*")))
