"""The one-file agent for acceptance tests: built once when it is missing or older than its sources."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.services.availability import unavailable

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "dist" / "attune-agent"


@pytest.fixture(scope="session")
def agent_file() -> Path:
    """The one-file agent: ``ATTUNE_TEST_AGENT``, else ``dist/attune-agent``, built when it is out of date."""
    given = os.environ.get("ATTUNE_TEST_AGENT")
    if given is not None:
        return Path(given).resolve(strict=True)
    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current():
            done = subprocess.run(
                ["make", "-f", "build/build.mk", "build-agent"], cwd=ROOT, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                unavailable("the one-file agent", f"make build-agent fails: {done.stderr[-500:]}")
    return PROGRAM


@pytest.fixture(scope="session")
def other_agent_file(agent_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version, 9.9.9, of the same agent."""
    work = tmp_path_factory.mktemp("other")
    subprocess.run([agent_file, "install", work / "installed"], check=True, capture_output=True)
    (unpacked,) = (work / "installed").glob(".attune-agent-*")
    shutil.copytree(unpacked, work / "tree", copy_function=shutil.copyfile)
    shutil.rmtree(work / "installed")
    (work / "tree" / "_internal" / "other").write_text("another version\n")
    build_module("pack").main(work / "tree", work / "attune-agent", version="9.9.9", level=1)
    return work / "attune-agent"


def build_module(name: str) -> ModuleType:
    """Import a recipe of ``build/``, which is no package."""
    sys.path.insert(0, str(ROOT / "build"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "build" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "build"))


def is_current(program: Path = PROGRAM) -> bool:
    """Tell whether a built program is newer than all that goes into it."""
    if not program.exists():
        return False
    built = program.stat().st_mtime
    return all(path.stat().st_mtime <= built for path in _sources())


def _sources() -> Iterator[Path]:
    for directory in ("agent", "build", "packs/core/runtimes"):
        for path in (ROOT / directory).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
                yield path
