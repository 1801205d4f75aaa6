"""Which runtime a runner type means, and which runtimes workers are told to prepare."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.packs.announcement import runtime_names
from agent.packs.model import Manifest, Pack, PackAction, Sensor
from agent.packs.runner_types import find_runtime


@dataclass(frozen=True)
class Row:
    ref: str
    name: str
    aliases: tuple[str, ...] = ()
    execution_config: dict[str, Any] = field(default_factory=dict)


ENVIRONMENT = {"environment": {"env_type": "virtualenv"}}
ROWS = (
    Row("auto.python", "Python", ("python", "python3"), ENVIRONMENT),
    Row("auto.zig", "Zig", ("zig",)),
    Row("core.go", "Go", ("go", "golang"), ENVIRONMENT),
    Row("core.native", "Native", ("native", "builtin", "standalone")),
    Row("core.nodejs", "Node.js", ("node", "nodejs", "node.js"), ENVIRONMENT),
    Row("core.python", "Python", ("python", "python3"), ENVIRONMENT),
    Row("core.sensor.builtin", "Builtin"),
    Row("core.shell", "Shell", ("shell", "bash", "sh"), {"environment": {"env_type": "none"}}),
    Row("mine.python", "Python", ("python",)),
    Row("mine.lua", "Lua", ("lua",), {"dependencies": {"manifest_file": "rockspec"}}),
    Row("mine.broken", "Broken", ("broken",), {"environment": 7}),
)


@pytest.mark.parametrize(
    ("runner", "ref"),
    [
        ("shell", "core.shell"),
        ("Bash", "core.shell"),
        ("sh", "core.shell"),
        ("python3", "core.python"),
        (" Python ", "core.python"),
        ("node.js", "core.nodejs"),
        ("builtin", "core.native"),
        ("standalone", "core.native"),
        ("core.sensor.builtin", "core.sensor.builtin"),
        ("auto.python", "auto.python"),
        ("mine.python", "mine.python"),
        ("golang", "core.go"),
        ("LUA", "mine.lua"),
        ("zig", "auto.zig"),
    ],
)
def test_a_runner_type_is_a_known_name_a_ref_a_name_or_an_alias(runner: str, ref: str) -> None:
    found = find_runtime(runner, ROWS)

    assert found is not None
    assert found.ref == ref


def test_an_agents_own_runtime_serves_where_no_pack_defines_one() -> None:
    found = find_runtime("python", [row for row in ROWS if row.ref in ("auto.python", "auto.zig")])

    assert found is not None
    assert found.ref == "auto.python"


@pytest.mark.parametrize("runner", ["", "kotlin", "core.kotlin", "mine"])
def test_an_unknown_runner_type_means_nothing(runner: str) -> None:
    assert find_runtime(runner, ROWS) is None


def make_pack(directory: Path, *runners: str, sensor: str = "native", required: str = "") -> Pack:
    actions = tuple(
        PackAction(
            f"p.a{number}", "A", runner, "a", "a.yaml", required_worker_runtimes={required: "*"} if required else {}
        )
        for number, runner in enumerate(runners)
    )
    return Pack(
        directory, Manifest("p", "P", "1.0.0"), actions=actions, sensors=(Sensor("p.s", "S", sensor, "s", "s"),)
    )


def test_runtimes_with_an_environment_or_a_manifest_are_announced_by_lower_case_name(tmp_path: Path) -> None:
    pack = make_pack(tmp_path, "nodejs", "python", "python3", "shell", "lua", "broken", "missing")

    assert runtime_names(pack, ROWS) == ("node.js", "python")

    (tmp_path / "rockspec").touch()

    assert runtime_names(pack, ROWS) == ("lua", "node.js", "python")


def test_runtimes_of_sensors_and_required_runtimes_are_announced_too(tmp_path: Path) -> None:
    assert runtime_names(make_pack(tmp_path, "shell", sensor="python", required="golang"), ROWS) == ("go", "python")
