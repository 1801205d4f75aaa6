"""What versions and isolated environments cost: warm, and at the first build, against the tools themselves."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.environments.compiled import CompiledActions
from agent.environments.manager import EnvironmentManager
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.local import localize
from agent.runtimes.machine import Machine
from agent.runtimes.model import ExecutionConfig, Interpreter, Runtime, RuntimeVersion
from agent.runtimes.registry import UsableRuntime
from agent.runtimes.selection import VersionSelector
from tests.integration.environment_site import PYTHON, core_config

GO = "package main\n\nfunc main() {}\n"
JAVA = "class Pass { public static void main(String[] a) {} }\n"


@dataclass(frozen=True)
class Figures:
    """Seconds (medians); a ratio compares with what the tool itself takes. None: the machine has no such program."""

    warm: float
    select: float
    select_other: float
    python_ratio: float
    venv: float
    venv_ratio: float
    uv_speedup: float | None
    go_ratio: float | None
    java_ratio: float | None


def measure(rounds: int = 15) -> Figures:
    """Measure everything in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as name:
        place = Place(Path(name))
        venv, venv_ratio, speedup = place.cold_builds()
        prepared = place.manager.ensure(place.python)
        select, select_other = _selection(place.root)
        return Figures(
            warm=_each(lambda: place.manager.ensure(place.python), 2000),
            select=select,
            select_other=select_other,
            python_ratio=_ratio(
                [prepared.interpreter, "-u", place.write("pass.py", "pass\n")], [PYTHON, "-I", "-c", "pass"], rounds
            ),
            venv=venv,
            venv_ratio=venv_ratio,
            uv_speedup=speedup,
            go_ratio=place.compiled("go", "go", place.write("pass.go", GO), rounds),
            java_ratio=place.compiled("java", "java", place.write("Pass.java", JAVA), rounds),
        )


class Place:
    """A pack without dependencies, and environments."""

    def __init__(self, root: Path) -> None:
        """Lay out the directories."""
        self.root = root
        self.pack = root / "packs/bench"
        (self.pack / "actions").mkdir(parents=True)
        self.manager = self.new_manager("envs")
        self.python = self.request("python", "python", PYTHON)

    def new_manager(self, envs: str, uv: str | None = None) -> EnvironmentManager:
        """Return a manager with a directory of its own."""
        return EnvironmentManager(runtime_envs_dir=self.root / envs, packs_base_dir=self.root / "packs", uv=uv)

    def request(self, runtime: str, name: str, interpreter: str) -> EnvironmentRequest:
        """Return a request with the core pack's recipe."""
        return EnvironmentRequest(
            pack_ref="bench",
            pack_dir=self.pack,
            dir_name=name,
            config=ExecutionConfig.from_json(core_config(runtime)),
            interpreter=interpreter,
        )

    def write(self, name: str, text: str) -> str:
        """Write a file of the pack."""
        path = self.pack / "actions" / name
        path.write_text(text)
        return str(path)

    def cold_builds(self) -> tuple[float, float, float | None]:
        """Build with venv, the tool itself beside it, and with uv: seconds, ratio, how many times faster."""
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        ours, bare, fast = [], [], []
        for turn in range(5):
            bare.append(_took([PYTHON, "-m", "venv", "--copies", str(self.root / f"bare{turn}")]))
            ours.append(self._cold(f"cold{turn}", None))
            if uv is not None:
                fast.append(self._cold(f"uv{turn}", uv))
        took, tool = statistics.median(ours), statistics.median(bare)
        return took, took / tool, tool / statistics.median(fast) if fast else None

    def _cold(self, envs: str, uv: str | None) -> float:
        manager = self.new_manager(envs, uv)
        return _once(lambda: manager.ensure(self.python))

    def compiled(self, runtime: str, program: str, action: str, rounds: int) -> float | None:
        """Start a compiled action, everything looked up as an execution does, against the built program alone."""
        interpreter = shutil.which(program)
        if interpreter is None:
            return None
        request = self.request(runtime, runtime, interpreter)
        prepared = self.manager.ensure(request)
        actions = CompiledActions(self.root / "envs", timeout=300, container=dict(os.environ))
        built = actions.command(request, prepared, action)
        assert built is not None, "it was not compiled"

        def run() -> None:
            command = actions.command(request, self.manager.ensure(request), action)
            assert command is not None
            _run(command, prepared)

        ours, alone = [], []
        for _ in range(rounds):
            ours.append(_once(run))
            alone.append(_once(lambda: _run(built, prepared)))
        return statistics.median(ours) / statistics.median(alone)


def _selection(root: Path) -> tuple[float, float]:
    """Choose among 200 registered versions: the same constraint again, and one that nobody asked before."""
    folder = root / "bin"
    folder.mkdir()
    for minor in range(200):
        (folder / f"python3.{minor}").symlink_to(PYTHON)
    detected = [DetectedInterpreter("python", str(folder / "python3.11"), "3.11.0")]
    machine = Machine.of(detected, env={"PATH": str(folder)})
    config = ExecutionConfig(Interpreter("python3.11"))
    runtime = Runtime(1, "core.python", "Python", config=config)
    rows = tuple(
        RuntimeVersion(minor + 1, 1, "core.python", f"3.{minor}", ExecutionConfig(Interpreter(f"python3.{minor}")))
        for minor in range(200)
    )
    local = localize(config, name="python", detected=detected[0], find=machine.find)
    usable = UsableRuntime(runtime, "python", rows, local)
    selector = VersionSelector(machine)
    selector.select(usable, ">=3.11")
    constraints = iter(range(10_000))
    return (
        _each(lambda: selector.select(usable, ">=3.11"), 2000),
        _each(lambda: selector.select(usable, f">=3.0,<3.{200 + next(constraints)}"), 200),
    )


def _run(command: Sequence[str], prepared: PreparedEnvironment) -> None:
    env = {**os.environ, **{name: variable.value for name, variable in prepared.env_vars.items()}}
    subprocess.run(command, env=env, check=True, stdin=subprocess.DEVNULL)


def _ratio(command: Sequence[str], bare: Sequence[str], rounds: int) -> float:
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        took[0].append(_took(command))
        took[1].append(_took(bare))
    return statistics.median(took[0]) / statistics.median(took[1])


def _took(command: Sequence[str]) -> float:
    return _once(lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL))


def _once(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _each(call: Callable[[], Any], times: int) -> float:
    return statistics.median(_once(call) for _ in range(times))
