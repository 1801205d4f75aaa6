"""Packs in a real database: registered, registered again after changes, and what is removed or kept."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from agent.db.pool import Database
from agent.errors import DatabaseError, PackError
from agent.packs.install import install
from agent.packs.loader import Registration, register
from agent.packs.parser import parse_pack, read_pack
from agent.packs.registered import registered_packs, registered_runtimes
from agent.packs.removal import FOREIGN, Vanished
from tests.packs import COMPLETE, SHIPPED

CORE = {
    "core.shell",
    "core.python",
    "core.nodejs",
    "core.native",
    "core.ruby",
    "core.go",
    "core.java",
    "core.perl",
    "core.r",
    "core.sensor.builtin",
}


def rows(database: Database, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    with database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()


def change(database: Database, statement: str, *parameters: Any) -> None:
    with database.connection() as connection:
        connection.execute(statement, parameters)


def one(database: Database, statement: str, *parameters: Any) -> dict[str, Any]:
    (row,) = rows(database, statement, *parameters)
    return row


def load(database: Database, directory: Path) -> Registration:
    return register(database, read_pack(directory, registered_runtimes(database)))


@pytest.fixture
def core(database: Database) -> Registration:
    return load(database, SHIPPED / "core")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A copy of the complete pack, to be changed."""
    shutil.copytree(COMPLETE, tmp_path / "complete")
    return tmp_path / "complete"


def rewrite(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def test_core_pack_brings_its_runtimes_with_unverified_versions(database: Database, core: Registration) -> None:
    runtimes = rows(database, "SELECT ref, pack, pack_ref, auto_detected, aliases FROM runtime")
    versions = rows(database, "SELECT available, verified_at, version_major FROM runtime_version")

    assert {row["ref"] for row in runtimes} == CORE
    assert {(row["pack"], row["pack_ref"], row["auto_detected"]) for row in runtimes} == {(core.pack_id, "core", False)}
    assert {(row["available"], row["verified_at"]) for row in versions} == {(False, None)}
    assert sorted(row["version_major"] for row in versions) == [3, 3, 3, 18, 20, 22]
    assert core.created
    assert rows(database, "SELECT ref FROM runtime_version v JOIN runtime r ON r.id = v.runtime WHERE is_default") != []


def test_every_value_of_an_action_reaches_its_row(database: Database, core: Registration, sample: Path) -> None:
    done = load(database, sample)

    action = one(database, "SELECT * FROM action WHERE ref = 'complete.greet'")
    runtime = one(database, "SELECT id, aliases, distributions FROM runtime WHERE ref = 'complete.lua'")
    expected = {
        "pack": done.pack_id,
        "pack_ref": "complete",
        "label": "Greet",
        "entrypoint": "greet.lua",
        "runtime": runtime["id"],
        "parameter_delivery": "file",
        "parameter_format": "yaml",
        "output_format": "jsonl",
        "is_adhoc": False,
        "timeout_seconds": 20,
        "max_retries": 2,
        "runtime_version_constraint": ">=5.3,<6",
        "accesses_mcp": True,
        "default_execution_permission_set_refs": ["standard"],
        "log_retention_policy": "versions",
        "log_retention_limit": 4,
        "artifact_retention_policy": "days",
        "artifact_retention_limit": 2,
        "required_worker_runtimes": {"python": ">=3.11", "git": "*"},
        "worker_selector": {"zone": "north"},
        "worker_tolerations": [{"key": "gpu", "operator": "exists", "effect": "no_schedule"}],
        "workflow_def": None,
    }
    assert {key: action[key] for key in expected} == expected
    assert action["param_schema"]["name"]["default"] == "World"
    assert action["worker_affinity"]["preferred"][0]["weight"] == 50
    assert runtime["aliases"] == ["lua", "lua5"]


def test_sensor_and_trigger_are_linked(database: Database, core: Registration, sample: Path) -> None:
    load(database, sample)

    sensor = one(database, "SELECT * FROM sensor WHERE ref = 'complete.watch'")
    trigger = one(database, "SELECT * FROM trigger WHERE ref = 'complete.seen'")
    assert (sensor["runtime_ref"], sensor["enabled"], sensor["config"]) == ("core.native", False, {"interval": 1})
    assert (trigger["sensor"], trigger["sensor_ref"]) == (sensor["id"], "complete.watch")

    rewrite(sample / "sensors" / "watch.yaml", ("[complete.seen]", "[other.thing]"))
    notes = load(database, sample).notes

    assert one(database, "SELECT sensor, sensor_ref FROM trigger WHERE pack_ref = 'complete'") == {
        "sensor": None,
        "sensor_ref": None,
    }
    assert notes == ("sensor complete.watch fires other.thing, which is not registered",)


def test_registering_twice_changes_nothing(database: Database, core: Registration, sample: Path) -> None:
    everything = """
        SELECT 'r' || ref AS key, id, to_jsonb(runtime) - 'updated' AS value FROM runtime
        UNION ALL SELECT 'v' || version || runtime, id, to_jsonb(runtime_version) - 'updated' FROM runtime_version
        UNION ALL SELECT 'a' || ref, id, to_jsonb(action) - 'updated' FROM action
        UNION ALL SELECT 's' || ref, id, to_jsonb(sensor) - 'updated' FROM sensor
        UNION ALL SELECT 't' || ref, id, to_jsonb(trigger) - 'updated' FROM trigger
        UNION ALL SELECT 'p' || ref, id, to_jsonb(pack) - 'updated' FROM pack ORDER BY 1
    """
    first = load(database, sample)
    before = rows(database, everything)

    again = load(database, sample)
    load(database, SHIPPED / "core")

    assert rows(database, everything) == before
    assert (first.created, again.created, again.added, again.vanished) == (True, False, (), ())
    assert set(again.updated) == set(first.added)


def test_a_changed_pack_is_updated_in_place(database: Database, core: Registration, sample: Path) -> None:
    load(database, sample)
    ids = rows(database, "SELECT ref, id FROM action ORDER BY ref")
    rewrite(sample / "pack.yaml", ("2.1.0-rc.1", "2.2.0"))
    rewrite(
        sample / "actions" / "greet.yaml", ("runner_type: lua", "runner_type: python"), ("timeout_seconds: 20\n", "")
    )

    load(database, sample)

    action = one(database, "SELECT runtime, timeout_seconds FROM action WHERE ref = 'complete.greet'")
    python = one(database, "SELECT id FROM runtime WHERE ref = 'core.python'")
    assert action == {"runtime": python["id"], "timeout_seconds": None}
    assert rows(database, "SELECT ref, id FROM action ORDER BY ref") == ids
    assert one(database, "SELECT version FROM pack WHERE ref = 'complete'") == {"version": "2.2.0"}


def test_an_action_says_that_it_may_run_again_after_its_worker_was_lost_and_takes_it_back(
    database: Database, core: Registration, sample: Path
) -> None:
    written = sample / "actions/greet.yaml"
    before = written.read_text()
    written.write_text(f"{before}retry_abandoned: true\n")
    load(database, sample)
    said = "SELECT a.ref FROM server_action s JOIN action a ON a.id = s.action WHERE s.retry_abandoned"
    assert [row["ref"] for row in rows(database, said)] == ["complete.greet"]
    written.write_text(before)
    load(database, sample)
    assert rows(database, said) == []
    change(database, "DROP TABLE server_action")
    written.write_text(f"{before}retry_abandoned: true\n")
    assert "retry_abandoned of complete.greet needs: attune db migrate --server" in load(database, sample).notes


def test_what_an_operator_decided_survives(database: Database, core: Registration, sample: Path) -> None:
    load(database, sample)
    change(database, "UPDATE pack SET config = '{\"region\": \"south\"}' WHERE ref = 'complete'")
    change(database, "UPDATE sensor SET enabled = true")
    change(database, "UPDATE trigger SET enabled = false")

    load(database, sample)

    assert one(database, "SELECT config FROM pack WHERE ref = 'complete'")["config"] == {
        "region": "south",
        "retries": 3,
    }
    assert one(database, "SELECT enabled FROM sensor WHERE ref = 'complete.watch'") == {"enabled": True}
    assert one(database, "SELECT enabled FROM trigger WHERE pack_ref = 'complete'") == {"enabled": False}


def test_verified_versions_stay_verified_and_unlisted_ones_go(
    database: Database, core: Registration, sample: Path
) -> None:
    load(database, sample)
    change(database, "UPDATE runtime_version SET available = true, verified_at = now() WHERE version LIKE '5.%%'")
    change(
        database,
        "INSERT INTO runtime_version (runtime, runtime_ref, version, meta) SELECT id, ref, '5.1.5', %s FROM runtime"
        " WHERE ref = 'complete.lua'",
        Jsonb({"auto_detected": True}),
    )
    rewrite(sample / "runtimes" / "lua.yaml", ('"5.3"', '"5.2"'))

    notes = load(database, sample).notes

    found = rows(database, "SELECT version, available FROM runtime_version WHERE version LIKE '5.%%' ORDER BY version")
    assert [(row["version"], row["available"]) for row in found] == [("5.1.5", True), ("5.2", False), ("5.4", True)]
    assert notes == ("version 5.3 of complete.lua is no longer listed and was removed",)


def test_without_a_list_of_versions_none_is_removed(database: Database, core: Registration, sample: Path) -> None:
    load(database, sample)
    file = sample / "runtimes" / "lua.yaml"
    file.write_text(file.read_text().partition("versions:")[0])

    load(database, sample)

    assert len(rows(database, "SELECT 1 FROM runtime_version WHERE version LIKE '5.%%'")) == 2


def test_what_vanished_from_the_files_is_removed(database: Database, core: Registration, sample: Path) -> None:
    load(database, sample)
    for file in ("actions/greet.yaml", "sensors/watch.yaml", "triggers/seen.yaml", "runtimes/lua.yaml"):
        (sample / file).unlink()

    done = load(database, sample)

    assert set(done.removed) == {
        Vanished("action", "complete.greet"),
        Vanished("sensor", "complete.watch"),
        Vanished("trigger", "complete.seen"),
        Vanished("runtime", "complete.lua"),
    }
    assert done.kept == ()
    assert rows(database, "SELECT ref FROM action WHERE pack_ref = 'complete'") == [{"ref": "complete.inline"}]
    assert rows(database, "SELECT ref FROM runtime WHERE ref = 'complete.lua'") == []


def test_a_runtime_that_is_still_used_is_kept_and_reported(
    database: Database, core: Registration, sample: Path, tmp_path: Path
) -> None:
    load(database, sample)
    user = tmp_path / "user"
    (user / "actions").mkdir(parents=True)
    (user / "pack.yaml").write_text("ref: user\nlabel: User\nversion: '1.0.0'\n")
    (user / "actions" / "a.yaml").write_text("ref: user.a\nrunner_type: complete.lua\nentry_point: a.lua\n")
    (user / "actions" / "a.lua").touch()
    load(database, user)
    (sample / "actions" / "greet.yaml").unlink()
    (sample / "runtimes" / "lua.yaml").unlink()

    done = load(database, sample)

    assert done.kept == (Vanished("runtime", "complete.lua", "action user.a uses it"),)
    assert done.removed == (Vanished("action", "complete.greet"),)
    assert len(rows(database, "SELECT 1 FROM runtime WHERE ref = 'complete.lua'")) == 1


def test_a_runtime_that_a_sensor_uses_is_kept_with_the_sensor(
    database: Database, core: Registration, sample: Path
) -> None:
    load(database, sample)
    rewrite(sample / "actions" / "greet.yaml", ("runner_type: lua", "runner_type: python"))
    (sample / "runtimes" / "lua.yaml").unlink()
    change(
        database,
        "UPDATE sensor SET runtime = (SELECT id FROM runtime WHERE ref = 'complete.lua'), is_adhoc = true"
        " WHERE ref = 'complete.watch'",
    )
    (sample / "sensors" / "watch.yaml").unlink()

    done = load(database, sample)

    assert done.kept == (Vanished("runtime", "complete.lua", "sensor complete.watch uses it"),)
    assert len(rows(database, "SELECT 1 FROM sensor WHERE ref = 'complete.watch'")) == 1


# One that somebody made by hand: the files have no say about it.
RULE = """INSERT INTO rule (ref, pack, pack_ref, label, action, action_ref, trigger, trigger_ref, enabled, is_adhoc)
          SELECT 'complete.r', a.pack, 'complete', 'R', a.id, a.ref, t.id, t.ref, true, true
            FROM action a, trigger t WHERE a.ref = 'complete.greet' AND t.ref = 'complete.seen'"""
SECRETS = """INSERT INTO key (ref, owner_type, owner_action, name, encrypted, value)
             SELECT 'complete.k', 'action', id, 'k', false, '1' FROM action WHERE ref = 'complete.greet'"""
UNDER_WAY = """INSERT INTO execution (action, action_ref, status)
               SELECT id, ref, 'running' FROM action WHERE ref = 'complete.greet'"""
OVER = UNDER_WAY.replace("running", "completed")


@pytest.mark.parametrize(
    ("need", "reason"),
    [
        (RULE, "a rule runs it"),
        (SECRETS, "it owns secrets"),
        (UNDER_WAY, "an execution of it is not over"),
        (OVER, None),
    ],
    ids=["rule", "secrets", "execution under way", "execution over"],
)
def test_an_action_that_is_still_needed_is_kept_and_reported(
    database: Database, core: Registration, sample: Path, need: str, reason: str | None
) -> None:
    load(database, sample)
    change(database, need)
    (sample / "actions" / "greet.yaml").unlink()

    done = load(database, sample)

    assert done.vanished == (Vanished("action", "complete.greet", reason),)
    assert len(rows(database, "SELECT 1 FROM action WHERE ref = 'complete.greet'")) == (reason is not None)


def test_a_trigger_that_a_rule_listens_to_is_kept(database: Database, core: Registration, sample: Path) -> None:
    load(database, sample)
    change(database, RULE)
    (sample / "triggers" / "seen.yaml").unlink()

    done = load(database, sample)

    assert done.kept == (Vanished("trigger", "complete.seen", "a rule listens to it"),)


def test_ad_hoc_parts_and_workflows_are_not_the_files_to_remove(
    database: Database, core: Registration, sample: Path
) -> None:
    load(database, sample)
    insert = "INSERT INTO action (ref, pack, pack_ref, label, entrypoint, is_adhoc, workflow_def) VALUES"
    pack = one(database, "SELECT id FROM pack WHERE ref = 'complete'")["id"]
    change(database, f"{insert} ('complete.adhoc', %s, 'complete', 'A', 'echo', true, NULL)", pack)
    change(
        database,
        "INSERT INTO workflow_definition (ref, pack, pack_ref, label, version, definition)"
        " VALUES ('complete.flow', %s, 'complete', 'F', '1', '{}')",
        pack,
    )
    change(
        database,
        f"{insert} ('complete.flow', %s, 'complete', 'F', '', false, (SELECT id FROM workflow_definition))",
        pack,
    )

    assert load(database, sample).vanished == ()
    assert len(rows(database, "SELECT 1 FROM action WHERE pack = %s", pack)) == 4


def test_runtimes_that_agents_registered_are_untouched(database: Database, core: Registration, sample: Path) -> None:
    pack = core.pack_id
    for ref, auto in (("auto.ruby", True), ("auto.lua", False)):
        change(
            database,
            "INSERT INTO runtime (ref, pack, pack_ref, name, distributions, auto_detected)"
            " VALUES (%s, %s, 'core', 'Ruby', '{}', %s)",
            ref,
            pack,
            auto,
        )

    assert load(database, SHIPPED / "core").vanished == ()
    assert len(rows(database, "SELECT 1 FROM runtime WHERE ref LIKE 'auto.%%'")) == 2
    load(database, SHIPPED / "examples")
    chosen = one(
        database, "SELECT r.ref FROM action a JOIN runtime r ON r.id = a.runtime WHERE a.ref = 'examples.hello_ruby'"
    )
    assert chosen == {"ref": "core.ruby"}


def test_a_pack_that_another_program_installed_loses_nothing(
    database: Database, core: Registration, sample: Path
) -> None:
    load(database, sample)
    change(database, "UPDATE pack SET installation_method = NULL WHERE ref = 'complete'")
    (sample / "actions" / "greet.yaml").unlink()

    for _ in range(2):
        done = load(database, sample)

        assert done.kept == (Vanished("action", "complete.greet", FOREIGN),)
    assert len(rows(database, "SELECT 1 FROM action WHERE ref = 'complete.greet'")) == 1


def test_a_pack_without_its_runtimes_is_refused_and_leaves_no_trace(database: Database) -> None:
    with pytest.raises(PackError) as caught:
        load(database, SHIPPED / "examples")

    assert "actions/hello_go.yaml:4: runner_type: no runtime 'go' is registered" in str(caught.value)
    assert "actions/hello_shell.yaml:4" in str(caught.value)
    assert rows(database, "SELECT 1 FROM pack") == []


def test_a_runner_type_may_name_a_runtime_of_another_pack_by_ref_name_or_alias(
    database: Database, core: Registration, sample: Path, tmp_path: Path
) -> None:
    load(database, sample)
    other = tmp_path / "other"
    (other / "actions").mkdir(parents=True)
    (other / "pack.yaml").write_text("ref: other\nlabel: Other\nversion: '1.0.0'\n")
    (other / "actions" / "a.lua").touch()
    for name, runner in (("ref", "complete.lua"), ("name", "lua"), ("alias", "LUA5")):
        (other / "actions" / f"{name}.yaml").write_text(
            f"ref: other.{name}\nrunner_type: {runner}\nentry_point: a.lua\n"
        )

    assert parse_pack(other).pack is None
    load(database, other)

    found = rows(
        database, "SELECT DISTINCT r.ref FROM action a JOIN runtime r ON r.id = a.runtime WHERE a.pack_ref = 'other'"
    )
    assert found == [{"ref": "complete.lua"}]


def test_two_registrations_at_once_both_succeed(database: Database, core: Registration, sample: Path) -> None:
    pack = read_pack(sample)
    results: list[object] = []

    def attempt() -> None:
        try:
            results.append(register(database, pack))
        except Exception as error:  # the test shows it
            results.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [type(result) for result in results] == [Registration] * 6
    assert sum(result.created for result in results if isinstance(result, Registration)) == 1


def test_a_refused_row_leaves_everything_as_it_was(database: Database, core: Registration, sample: Path) -> None:
    pack = read_pack(sample)
    bad = replace(pack, actions=(*pack.actions, replace(pack.actions[0], ref="two.dots.here")))

    with pytest.raises(DatabaseError) as caught:
        register(database, bad)

    assert isinstance(caught.value.__cause__, psycopg.errors.CheckViolation)
    assert [row.ref for row in registered_packs(database)] == ["core"]


def test_workers_are_told_the_runtimes_that_have_something_to_prepare(
    database: Database, core: Registration, sample: Path
) -> None:
    everything = ("go", "java", "node.js", "perl", "python", "r", "ruby")
    assert load(database, SHIPPED / "examples").runtime_names == everything
    assert load(database, sample).runtime_names == ("python",)

    (sample / "rockspec").touch()

    assert load(database, sample).runtime_names == ("lua", "python")


def test_packs_are_listed_with_their_parts(database: Database, core: Registration, sample: Path) -> None:
    load(database, sample)

    complete, core_summary = registered_packs(database)
    assert (complete.ref, complete.version, complete.actions, complete.sensors) == ("complete", "2.1.0-rc.1", 2, 1)
    assert (core_summary.runtimes, core_summary.actions) == (len(CORE), 7)


def test_files_are_copied_to_where_workers_look(
    database: Database, core: Registration, sample: Path, tmp_path: Path
) -> None:
    base = tmp_path / "packs"

    done = install(database, read_pack(sample), base)

    assert (done.place, done.copied) == (base / "complete", True)
    assert (base / "complete" / "sensors" / "watch").stat().st_mode & 0o111
    assert one(database, "SELECT storage_path FROM pack WHERE ref = 'complete'") == {"storage_path": str(done.place)}
    assert [entry.name for entry in base.iterdir()] == ["complete"]


def test_the_old_version_is_replaced_and_nothing_is_left_over(
    database: Database, core: Registration, sample: Path, tmp_path: Path
) -> None:
    base = tmp_path / "packs"
    install(database, read_pack(sample), base)
    (sample / "actions" / "greet.yaml").unlink()
    (sample / "actions" / "new.txt").write_text("new")

    install(database, read_pack(sample), base)

    names = {entry.name for entry in (base / "complete" / "actions").iterdir()}
    assert names == {"greet.lua", "inline.yaml", "new.txt"}
    assert [entry.name for entry in base.iterdir()] == ["complete"]


def test_a_pack_that_lies_in_place_is_not_copied(database: Database, core: Registration, sample: Path) -> None:
    (sample / "marker").touch()

    done = install(database, read_pack(sample), sample.parent)

    assert (done.place, done.copied) == (sample, False)
    assert (sample / "marker").exists()


def test_when_the_database_refuses_the_old_files_stay(
    database: Database, core: Registration, sample: Path, tmp_path: Path
) -> None:
    base = tmp_path / "packs"
    install(database, read_pack(sample), base)
    (sample / "actions" / "greet.lua").write_text("changed")
    pack = read_pack(sample)

    with pytest.raises(DatabaseError):
        install(database, replace(pack, actions=(replace(pack.actions[0], ref="two.dots.here"),)), base)

    assert (base / "complete" / "actions" / "greet.lua").read_text() == 'print("hello")\n'
    assert [entry.name for entry in base.iterdir()] == ["complete"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda directory: (directory / "out").symlink_to("/etc/passwd"),
        lambda directory: (directory / "up").symlink_to("../elsewhere"),
        lambda directory: os.mkfifo(directory / "pipe"),
    ],
    ids=["absolute link", "link upwards", "pipe"],
)
def test_what_is_no_file_of_the_pack_is_not_copied(
    database: Database, core: Registration, sample: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(sample)

    with pytest.raises(PackError):
        install(database, read_pack(sample), tmp_path / "packs")

    assert not (tmp_path / "packs" / "complete").exists()
    assert [row.ref for row in registered_packs(database)] == ["core"]


def test_core_pack_brings_permission_sets_and_triggers(database: Database, core: Registration) -> None:
    sets = {row["ref"]: row["grants"] for row in rows(database, "SELECT ref, grants FROM permission_set")}
    assert set(sets) == {"core.admin", "core.editor", "core.executor", "core.viewer"}
    granted = {(grant["resource"], action) for grant in sets["core.admin"] for action in grant["actions"]}
    assert ("keys", "decrypt") in granted
    assert not {("executions", "decrypt"), ("enforcements", "decrypt")} & granted
    triggers = {row["ref"] for row in rows(database, "SELECT ref FROM trigger")}
    assert triggers == {
        f"core.{name}" for name in ("alert", "intervaltimer", "crontimer", "datetimetimer", "rruletimer")
    }


def test_a_permission_set_that_left_the_files_goes_unless_somebody_has_it(database: Database, tmp_path: Path) -> None:
    source = tmp_path / "core"
    shutil.copytree(SHIPPED / "core", source)
    load(database, source)
    change(database, "INSERT INTO identity (login) VALUES ('ada')")
    change(
        database,
        "INSERT INTO permission_assignment (identity, permset)"
        " SELECT i.id, p.id FROM identity i, permission_set p WHERE p.ref = 'core.viewer'",
    )
    for name in ("viewer", "executor"):
        (source / "permission_sets" / f"{name}.yaml").unlink()
    vanished = load(database, source).vanished
    assert Vanished("permission_set", "core.executor") in vanished
    assert Vanished("permission_set", "core.viewer", "somebody has it") in vanished
