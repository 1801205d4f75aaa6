"""Runtimes in a real database: registration by several agents, availability seen by all, selection from rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from agent.db.pool import Database
from agent.errors import UnmetConstraint
from agent.runtimes.auto_runtimes import register_detected
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.execution_config import ExecutionConfig
from agent.runtimes.machine import Machine
from agent.runtimes.offered import RuntimeDetector, Tier
from agent.runtimes.registry import RuntimeRegistry
from agent.runtimes.selection import VersionSelector
from agent.runtimes.store import load_runtimes, record_checks
from agent.runtimes.verification import verify_versions
from agent.runtimes.version_rows import register_versions
from tests.children.interpreters import prints, write_program

pytestmark = pytest.mark.postgres

RUBY = DetectedInterpreter("ruby", "/usr/bin/ruby", "3.1.2")
NODE = DetectedInterpreter("node", "/usr/bin/node", "20.19.0")
GO = DetectedInterpreter("go", "/usr/bin/go", "1.19.8")


def add_runtime(database: Database, ref: str, name: str, *, aliases: list[str] | None = None, **columns: Any) -> int:
    values = {"distributions": {}, "execution_config": {"interpreter": {"binary": "x"}}} | columns
    with database.connection() as connection:
        row = connection.execute(
            "INSERT INTO runtime (ref, name, aliases, distributions, execution_config) VALUES (%s, %s, %s, %s, %s)"
            " RETURNING id",
            [ref, name, aliases or [], Jsonb(values["distributions"]), Jsonb(values["execution_config"])],
        ).fetchone()
    assert row is not None
    return int(row[0])


def add_version(database: Database, runtime: int, ref: str, version: str, binary: str, *, default: bool = False) -> int:
    config = {"interpreter": {"binary": binary, "file_extension": ".py"}}
    with database.connection() as connection:
        row = connection.execute(
            "INSERT INTO runtime_version (runtime, runtime_ref, version, version_major, version_minor,"
            " execution_config, is_default, available) VALUES (%s, %s, %s, %s, %s, %s, %s, FALSE) RETURNING id",
            [runtime, ref, version, *map(int, (version + ".0").split(".")[:2]), Jsonb(config), default],
        ).fetchone()
    assert row is not None
    return int(row[0])


def add_worker(database: Database, name: str, capabilities: Any, *, status: str = "active", age: str = "0 s") -> int:
    with database.connection() as connection:
        row = connection.execute(
            "INSERT INTO worker (name, worker_type, worker_role, status, capabilities, last_heartbeat)"
            " VALUES (%s, 'local', 'action', %s::worker_status_enum, %s, now() - %s::interval) RETURNING id",
            [name, status, Jsonb(capabilities), age],
        ).fetchone()
    assert row is not None
    return int(row[0])


def stored(database: Database, ref: str) -> Mapping[str, Any]:
    return load_runtimes(database).raw[ref]


def availability(database: Database) -> dict[str, tuple[bool, bool]]:
    """Per version: whether it is available, and whether that was ever verified."""
    with database.connection() as connection:
        rows = connection.execute("SELECT version, available, verified_at IS NOT NULL FROM runtime_version").fetchall()
    return {version: (available, verified) for version, available, verified in rows}


def test_a_detected_interpreter_gets_a_row_cloned_from_the_definition_that_ships(
    database: Database, tmp_path: Path
) -> None:
    assert register_detected(database, [RUBY, NODE], packs_base_dir=tmp_path) == ["auto.ruby", "auto.node"]
    row = stored(database, "auto.ruby")
    assert (row["name"], row["aliases"], row["auto_detected"]) == ("Ruby", ["ruby", "rb"], True)
    assert row["pack"] is None and row["pack_ref"] is None
    assert row["execution_config"]["interpreter"]["binary"] == "/usr/bin/ruby"
    assert row["execution_config"]["environment"]["env_type"] == "gem_home"
    assert row["detection_config"] == {
        "detected_path": "/usr/bin/ruby",
        "detected_name": "ruby",
        "detected_version": "3.1.2",
        "template": "core.ruby",
    }
    assert stored(database, "auto.node")["name"] == "Node.js"
    with database.connection() as connection:
        (installers,) = connection.execute("SELECT installers FROM runtime WHERE ref = 'auto.ruby'").fetchone() or ()
    assert installers == {}


def test_an_unknown_language_gets_the_minimal_row(database: Database, tmp_path: Path) -> None:
    cobol = DetectedInterpreter("cobol", "/usr/bin/cobc", None)
    assert register_detected(database, [cobol], packs_base_dir=tmp_path) == ["auto.cobol"]
    row = stored(database, "auto.cobol")
    assert (row["name"], row["aliases"], row["installation"]) == ("Cobol", ["cobol"], None)
    assert row["execution_config"] == {"interpreter": {"binary": "/usr/bin/cobc", "args": []}}
    assert row["detection_config"] == {"detected_path": "/usr/bin/cobc", "detected_name": "cobol"}


def test_a_runtime_that_is_known_by_any_name_is_not_added(database: Database, tmp_path: Path) -> None:
    add_runtime(database, "core.nodejs", "Node.js")
    add_runtime(database, "mine.mri", "MRI", aliases=["rb"])
    assert register_detected(database, [NODE, RUBY], packs_base_dir=tmp_path) == []
    assert register_detected(database, [], packs_base_dir=tmp_path) == []


def test_a_stored_template_is_preferred(database: Database, tmp_path: Path) -> None:
    config = {"interpreter": {"binary": "golang", "args": ["run"]}, "env_vars": {"A": "b"}}
    add_runtime(database, "core.go", "Gophers", execution_config=config)
    assert register_detected(database, [GO], packs_base_dir=tmp_path) == ["auto.go"]
    row = stored(database, "auto.go")
    assert row["execution_config"] == {
        "interpreter": {"binary": "/usr/bin/go", "args": ["run"]},
        "env_vars": {"A": "b"},
    }
    assert row["detection_config"]["template"] == "core.go"


def test_registering_twice_changes_nothing(database: Database, tmp_path: Path) -> None:
    register_detected(database, [RUBY], packs_base_dir=tmp_path)
    before = stored(database, "auto.ruby")
    moved = DetectedInterpreter("ruby", "/opt/ruby/bin/ruby", "3.3.0")
    assert register_detected(database, [moved], packs_base_dir=tmp_path) == []
    assert stored(database, "auto.ruby") == before


def test_agents_that_register_at_the_same_time_do_not_fail_each_other(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agents = 6
    together = threading.Barrier(agents)
    added: list[str] = []
    errors: list[BaseException] = []

    def register() -> None:
        try:
            together.wait(10)
            added.extend(register_detected(database, [RUBY, NODE, GO], packs_base_dir=tmp_path))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=register) for _ in range(agents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert sorted(added) == ["auto.go", "auto.node", "auto.ruby"]
    assert [record.message for record in caplog.records] == []


def test_a_row_that_the_database_refuses_does_not_stop_the_others(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = DetectedInterpreter("bad\u0000name", "/usr/bin/bad", None)
    assert register_detected(database, [broken, RUBY], packs_base_dir=tmp_path) == ["auto.ruby"]
    assert "could not be added" in caplog.text


@pytest.fixture
def python_rows(database: Database) -> int:
    runtime = add_runtime(
        database,
        "core.python",
        "Python",
        aliases=["python", "python3"],
        execution_config={"interpreter": {"binary": "py-base", "file_extension": ".py"}},
    )
    for version in ("3.11", "3.12", "3.13"):
        add_version(database, runtime, "core.python", version, f"python{version}", default=version == "3.12")
    return runtime


def machine(directory: Path, **versions: str) -> Machine:
    """A machine whose PATH has exactly these Pythons."""
    for short, full in versions.items():
        write_program(directory, "python" + short.strip("_").replace("_", "."), prints(f"Python {full}"))
    return Machine.of(env={"PATH": str(directory)})


def test_versions_that_are_verified_here_become_available(database: Database, python_rows: int, tmp_path: Path) -> None:
    checks = verify_versions(load_runtimes(database).versions, machine(tmp_path, _3_12="3.12.13"))
    record_checks(database, checks, worker_id=None)
    assert availability(database) == {"3.11": (False, True), "3.12": (True, True), "3.13": (False, True)}


def test_a_version_stays_available_while_another_live_worker_offers_it(
    database: Database, python_rows: int, tmp_path: Path
) -> None:
    mine = add_worker(database, "me", {"runtime_versions": {"python": ["3.11.2"]}})
    add_worker(database, "full", {"runtime_versions": {"python": ["3.13"]}})
    add_worker(database, "agent", {"detected_interpreters": [{"name": "python3", "version": "3.12.13"}]}, status="busy")
    with database.connection() as connection:
        connection.execute("UPDATE runtime_version SET available = TRUE")
    nothing_here = verify_versions(load_runtimes(database).versions, machine(tmp_path))
    record_checks(database, nothing_here, worker_id=mine)
    assert availability(database) == {"3.11": (False, True), "3.12": (True, False), "3.13": (True, False)}


@pytest.mark.parametrize(("status", "age"), [("inactive", "0 s"), ("active", "91 s"), ("error", "0 s")])
def test_a_worker_that_is_gone_keeps_nothing_available(
    database: Database, python_rows: int, tmp_path: Path, status: str, age: str
) -> None:
    add_worker(database, "gone", {"runtime_versions": {"python": ["3.11"]}}, status=status, age=age)
    add_worker(database, "odd", ["not", "an", "object"])
    with database.connection() as connection:
        connection.execute("UPDATE runtime_version SET available = TRUE")
    record_checks(database, verify_versions(load_runtimes(database).versions, machine(tmp_path)), worker_id=None)
    assert availability(database)["3.11"] == (False, True)


def test_an_execution_gets_the_version_that_this_machine_has(
    database: Database, python_rows: int, tmp_path: Path
) -> None:
    here = machine(tmp_path, _3_11="3.11.2", _3_12="3.12.13", _3_13="3.13.1")
    registry = RuntimeRegistry(lambda: load_runtimes(database), here)
    selector = VersionSelector(here, record=lambda found: record_checks(database, found, worker_id=None))
    registry.refresh()
    chosen = selector.select(registry.resolve(python_rows), ">=3.12")
    assert (chosen.env_name, chosen.interpreter) == ("python-3.13", str(tmp_path / "python3.13"))
    assert selector.select(registry.resolve("python3"), "~3.12").env_name == "python-3.12"
    assert selector.select(registry.resolve("python")).env_name == "python-3.12"
    assert all(available for available, _ in availability(database).values())
    with pytest.raises(UnmetConstraint, match=r"3\.13\.1"):
        selector.select(registry.resolve(python_rows), ">=4")


def test_a_pack_that_changes_its_versions_is_seen_after_a_refresh(
    database: Database, python_rows: int, tmp_path: Path
) -> None:
    here = machine(tmp_path, _3_12="3.12.13", _3_14="3.14.0")
    registry = RuntimeRegistry(lambda: load_runtimes(database), here)
    selector = VersionSelector(here)
    registry.refresh()
    assert selector.select(registry.resolve(python_rows), ">=3.12").version == "3.12"
    add_version(database, python_rows, "core.python", "3.14", "python3.14")
    registry.refresh()
    assert selector.select(registry.resolve(python_rows), ">=3.12").version == "3.14"


def test_warm_selection_asks_no_database(database: Database, python_rows: int, tmp_path: Path) -> None:
    here = machine(tmp_path, _3_12="3.12.13")
    registry = RuntimeRegistry(lambda: load_runtimes(database), here)
    selector = VersionSelector(here, record=lambda found: record_checks(database, found, worker_id=None))
    registry.refresh()
    selector.select(registry.resolve(python_rows), ">=3.12")
    database.close()
    with database.connection() as connection:
        connection.execute("DROP TABLE runtime_version CASCADE")
    assert selector.select(registry.resolve(python_rows), ">=3.12").version == "3.12"


def test_a_full_worker_offers_what_the_stored_runtimes_prove(database: Database, tmp_path: Path) -> None:
    check = {"verification": {"commands": [{"binary": "python3", "args": ["--version"], "pattern": r"Python 3\."}]}}
    add_runtime(database, "core.python", "Python", distributions=check)
    add_runtime(database, "core.nodejs", "Node.js", distributions={"verification": {"always_available": True}})
    add_runtime(database, "core.ruby", "Ruby", distributions={"verification": {"commands": [{"binary": "ruby"}]}})
    write_program(tmp_path, "python3", prints("Python 3.12.13"))
    detector = RuntimeDetector("worker", override=None, capabilities={})
    offered = detector.from_database(lambda: load_runtimes(database).runtimes, Machine.of(env={"PATH": str(tmp_path)}))
    assert offered.runtimes == ("node.js", "python", "native")
    assert offered.tier is Tier.DATABASE


def test_what_is_stored_is_read_back_as_values(database: Database, tmp_path: Path) -> None:
    register_detected(database, [RUBY], packs_base_dir=tmp_path)
    (runtime,) = load_runtimes(database).runtimes
    raw = stored(database, "auto.ruby")["execution_config"]
    assert runtime.config == ExecutionConfig.from_json(json.loads(json.dumps(raw)))
    assert runtime.auto_detected and runtime.detection_config["detected_name"] == "ruby"


def test_agents_add_the_versions_that_no_pack_lists_once_and_a_constraint_finds_them(
    database: Database, tmp_path: Path
) -> None:
    python = add_runtime(database, "core.python", "Python", execution_config={"interpreter": {"binary": "python3"}})
    add_version(database, python, "core.python", "3.12", "python3.12", default=True)
    found = [
        DetectedInterpreter("python", str(write_program(tmp_path, name, prints(f"Python {text}"))), text)
        for name, text in (("python3", "3.12.1"), ("python3.13", "3.13.0"), ("python3.14", "3.14.0-rc.1"))
    ]
    threads = [threading.Thread(target=register_versions, args=(database, found)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert register_versions(database, found) == []
    with database.connection() as connection:
        rows = connection.execute("SELECT version, meta FROM runtime_version ORDER BY version").fetchall()
    assert [row[0] for row in rows] == ["3.12", "3.13", "3.14.0-rc.1"]
    assert rows[1][1]["auto_detected"] is True

    known = Machine.of(found, env={"PATH": str(tmp_path)})
    registry = RuntimeRegistry(lambda: load_runtimes(database), known)
    registry.refresh()
    selected = VersionSelector(known).select(registry.resolve("core.python"), ">=3.12")
    assert (selected.version, selected.env_name, selected.actual) == ("3.13", "python-3.13", "3.13.0")


@pytest.mark.parametrize(("disabled", "expected"), [(True, True), (False, False), ("2026-01-01", True), (None, False)])
def test_an_operators_switch_is_read_from_the_row(database: Database, disabled: Any, expected: bool) -> None:
    python = add_runtime(database, "core.python", "Python")
    add_version(database, python, "core.python", "3.12", "python3.12")
    with database.connection() as connection:
        connection.execute("UPDATE runtime_version SET meta = %s", [Jsonb({"disabled": disabled})])
    (row,) = load_runtimes(database).versions
    assert row.disabled is expected
