"""The runtimes that a worker can run."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import InvalidExecution
from agent.runtimes import registry as module
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.execution_config import ExecutionConfig, Interpreter
from agent.runtimes.machine import Machine
from agent.runtimes.model import Runtime
from agent.runtimes.registry import RuntimeRegistry
from agent.runtimes.store import StoredRuntimes, from_rows
from tests.unit.runtimes.rows import config, runtime, version

SHELL = runtime("core.shell", "Shell", "/bin/sh", id_=1, aliases=("shell", "bash", "sh"))
PYTHON = runtime("core.python", "Python", "python3", id_=2, aliases=("python", "python3"))
NODE = runtime("core.nodejs", "Node.js", "node", id_=3, aliases=("node", "nodejs", "node.js"))
NATIVE = runtime("core.native", "Native", id_=4, aliases=("native", "builtin", "standalone"))
BUILTIN = runtime("core.sensor.builtin", "Builtin", id_=5)
AUTO_NODE = runtime("auto.node", "Node.js", "/opt/node", id_=6, aliases=("node",), auto_detected=True)


def registry(
    *rows: Runtime, allowed: tuple[str, ...] | None = None, machine: Machine | None = None, **more: object
) -> RuntimeRegistry:
    stored = StoredRuntimes(runtimes=rows, **more)  # type: ignore[arg-type]
    made = RuntimeRegistry(lambda: stored, machine or Machine.of(env={"PATH": "/usr/bin:/bin"}), allowed=allowed)
    made.refresh()
    return made


def test_finds_a_runtime_by_id_ref_name_and_any_alias() -> None:
    found = registry(SHELL, PYTHON, NODE)
    for key in (3, "core.nodejs", "Node.js", "node.js", "nodejs", " NODE "):
        assert found.resolve(key).runtime is NODE
    assert found.resolve(3).name == "node"


def test_core_wins_over_auto_by_name_but_each_is_found_by_id() -> None:
    found = registry(AUTO_NODE, NODE)
    assert found.resolve("node").runtime is NODE
    assert found.resolve("auto.node").runtime is AUTO_NODE
    assert found.resolve(6).runtime is AUTO_NODE


def test_native_is_always_there() -> None:
    assert registry(SHELL).resolve("native").runtime.ref == "core.native"
    assert registry(SHELL, NATIVE).resolve("builtin").runtime is NATIVE


def test_builtin_means_native_unless_it_is_named_by_its_ref() -> None:
    found = registry(BUILTIN, NATIVE)
    assert found.resolve("builtin").runtime is NATIVE
    assert found.resolve("core.sensor.builtin").runtime is BUILTIN
    assert registry(BUILTIN).resolve("builtin").runtime.ref == "core.native"


def test_an_empty_database_still_runs_shell_and_native() -> None:
    machine = Machine.of([DetectedInterpreter("shell", "/bin/sh")], env={})
    found = registry(machine=machine)
    assert found.resolve("bash").config.interpreter.binary == "/bin/sh"
    assert found.resolve("bash").config.inline_execution.inject_shell_helpers
    assert found.resolve("native").config == ExecutionConfig()


def test_an_operators_filter_is_matched_by_meaning() -> None:
    found = registry(SHELL, PYTHON, NODE, NATIVE, allowed=("python3", "node.js"))
    assert [item.runtime.ref for item in found.usable] == ["core.python", "core.nodejs"]
    with pytest.raises(InvalidExecution, match=r"core\.shell .*restricted to \(python3, node\.js\)"):
        found.resolve(1)
    with pytest.raises(InvalidExecution):
        found.resolve("native")


def test_an_empty_filter_leaves_nothing() -> None:
    assert registry(SHELL, NATIVE, allowed=()).usable == ()


def test_a_runtime_that_is_not_known_is_looked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredRuntimes(runtimes=(SHELL,))
    loads = []

    def load() -> StoredRuntimes:
        loads.append(stored)
        return stored

    found = RuntimeRegistry(load, Machine.of(env={}))
    found.refresh()
    stored = StoredRuntimes(runtimes=(SHELL, PYTHON))
    with pytest.raises(InvalidExecution, match="no runtime with id 2"):
        found.resolve(2)
    assert len(loads) == 1
    monkeypatch.setattr(module, "_REFRESH_PAUSE", 0.0)
    assert found.resolve(2).runtime is PYTHON
    assert len(loads) == 2


def test_a_refresh_keeps_what_has_not_changed() -> None:
    rows = [SHELL, PYTHON]
    found = RuntimeRegistry(lambda: StoredRuntimes(runtimes=tuple(rows)), Machine.of(env={"PATH": "/usr/bin:/bin"}))
    found.refresh()
    shell, python = found.resolve(1), found.resolve(2)
    rows[1] = runtime("core.python", "Python", "python3.12", id_=2)
    found.refresh()
    assert found.resolve(1) is shell
    assert found.resolve(2) is not python and found.resolve(2).runtime is rows[1]


def test_one_unusable_configuration_does_not_spoil_the_others() -> None:
    columns = {"pack": None, "pack_ref": None, "distributions": {}, "installation": None, "auto_detected": False}
    columns |= {"detection_config": {}, "aliases": None}
    bad = columns | {"id": 1, "ref": "a.bad", "name": "Bad", "execution_config": {"interpreter": 3}}
    good = columns | {"id": 2, "ref": "a.good", "name": "Good", "execution_config": {"interpreter": {"binary": "sh"}}}
    row = {"id": 1, "runtime": 2, "runtime_ref": "a.good", "version": "1", "execution_config": [], "distributions": {}}
    stored = from_rows([bad, good], [row | {"is_default": False, "available": True, "verified_at": None}])
    found = RuntimeRegistry(lambda: stored, Machine.of(env={}))
    found.refresh()
    assert found.resolve(2).runtime.name == "Good"
    assert found.resolve(2).versions == () and "a.good 1" in stored.warnings[0]
    with pytest.raises(InvalidExecution, match=r"a\.bad: interpreter must be an object"):
        found.resolve(1)


def test_versions_belong_to_their_runtime_in_the_order_of_the_rows() -> None:
    rows = (version("3.13"), version("3.12"))
    found = registry(SHELL, PYTHON, versions=rows)
    assert found.resolve(1).versions == rows
    assert found.resolve(2).versions == ()


def test_an_action_without_runtime_is_run_by_the_extension_of_its_file() -> None:
    def files(row: Runtime, extension: str) -> Runtime:
        return Runtime(row.id, row.ref, row.name, row.aliases, config=ExecutionConfig(Interpreter("x", (), extension)))

    found = registry(files(AUTO_NODE, ".js"), files(NODE, "js"), files(PYTHON, ".py"))
    assert found.for_file("lib/run.JS").runtime.ref == "core.nodejs"  # type: ignore[union-attr]
    assert found.for_file("noextension", "tool.py").runtime.ref == "core.python"  # type: ignore[union-attr]
    assert found.for_file("Makefile") is None and found.for_file("x.cob") is None


def test_this_machines_interpreter_is_substituted(tmp_path: Path) -> None:
    machine = Machine.of([DetectedInterpreter("node", "/bin/sh", "20.1.0")], env={"PATH": str(tmp_path)})
    usable = registry(AUTO_NODE, PYTHON, machine=machine)
    assert usable.resolve(6).config.interpreter.binary == "/bin/sh"
    assert usable.resolve(2).local is None
    assert usable.resolve(2).config == config("python3")
