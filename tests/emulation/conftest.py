"""A Debian root of the other architecture, and the agent that was built in it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from tests.services.availability import unavailable
from tests.services.frozen import ROOT, is_current

#: Making the root and building in it takes minutes: only `make test-emulation` asks for it.
collect_ignore_glob = [] if os.environ.get("ATTUNE_TEST_EMULATION") else ["test_*.py"]

FOREIGN = {"x86_64": "arm64", "aarch64": "amd64"}.get(platform.machine(), "arm64")


@pytest.fixture(scope="session")
def foreign_root() -> Path:
    """The root directory of the other architecture."""
    done = subprocess.run(
        [ROOT / "build" / "foreign.sh", FOREIGN, "--root"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        unavailable(f"a Debian root for {FOREIGN}", done.stderr[-500:])
    return Path(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def foreign_agent(foreign_root: Path) -> Path:
    """The one-file agent of the other architecture, built when it is out of date."""
    program = ROOT / "dist" / f"attune-agent-{FOREIGN}"
    if is_current(program):
        return program
    done = subprocess.run(
        ["make", "build-agent", f"ARCH={FOREIGN}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return program
