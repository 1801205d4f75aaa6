"""The one-file agent: its size, and how long its starts take against the interpreter that was frozen."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.runtimes.candidates import find_candidates

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "dist" / "attune-agent"
#: Containers have no version manager; its shims are shell scripts that take longer than what they stand for.
PATH = ":".join(place for place in os.environ.get("PATH", os.defpath).split(":") if not place.endswith("/shims"))
#: The interpreter that build/prepare.sh prefers; a version manager's shim would be a shell script.
PYTHON = next((path for path in ("/usr/bin/python3.11", "/usr/bin/python3") if os.access(path, os.X_OK)), "python3")


@dataclass(frozen=True)
class OneFile:
    """Bytes of the file; seconds of everything else (medians)."""

    size: int
    python: float
    version: float
    health: float
    own_line: float
    detect: float
    slowest_interpreter: float
    first_start: float
    install: float
    install_current: float


def measure(rounds: int = 15) -> OneFile:
    """Build the file when it is missing, install it into a temporary directory and time its commands in turn."""
    if not PROGRAM.exists():
        subprocess.run(["make", "build-agent"], cwd=ROOT, check=True, capture_output=True)
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as name:
        directory = Path(name)
        install = _seconds([str(PROGRAM), "install", name])
        program = str(directory / "attune-agent")
        (tree,) = directory.glob(".attune-agent-*")
        loader = next(str(path) for path in (tree / "libc").glob("ld-linux-*"))
        through_loader = [loader, "--inhibit-cache", "--library-path", f"{tree}/libc:{tree}/_internal"]
        started = {"_PYI_ARCHIVE_FILE": f"{tree}/attune-agent", "_PYI_PARENT_PROCESS_LEVEL": "0"}
        commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {
            "python": ([PYTHON, "-I", "-c", "pass"], {}),
            "version": ([program, "--version"], {}),
            "health": ([program, "health"], {}),
            # Past the launcher, which would answer this itself: Python's own start and its first line.
            "own_line": ([*through_loader, f"{tree}/attune-agent", "--version"], started),
            "detect": ([program, "--detect-only"], {}),
            "install_current": ([str(PROGRAM), "install", name], {}),
        }
        for found in find_candidates({"PATH": PATH}):
            commands[f"interpreter {found.path}"] = ([found.path, *found.family.version_arguments], {})
        took: dict[str, list[float]] = {key: [] for key in commands}
        for _ in range(rounds):
            for key, (command, extra) in commands.items():
                took[key].append(_seconds(command, extra))
        middle = {key: statistics.median(values) for key, values in took.items()}
        slowest = max(value for key, value in middle.items() if key.startswith("interpreter"))
        return OneFile(
            size=PROGRAM.stat().st_size,
            slowest_interpreter=slowest,
            first_start=_first_start(),
            install=install,
            **{key: value for key, value in middle.items() if not key.startswith("interpreter")},
        )


def _first_start() -> float:
    """From nothing but the file: it unpacks itself beside itself and then does something small."""
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as name:
        copy = Path(name) / "attune-agent"
        copy.write_bytes(PROGRAM.read_bytes())
        copy.chmod(0o755)
        return _seconds([str(copy), "--help"])


def _seconds(command: Sequence[str], extra: Mapping[str, str] | None = None) -> float:
    before = time.perf_counter()
    subprocess.run(command, env={**os.environ, "PATH": PATH, **(extra or {})}, capture_output=True, check=False)
    return time.perf_counter() - before
