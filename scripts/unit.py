#!/usr/bin/env python3
"""Run the unit tests on each Python from 3.11 on that this machine has, and say which; a virtual environment each.

Pythons are looked for on PATH, with pyenv and with uv; PYTHONS="/path/to/python3.12 python3.13" names them instead.
Environments lie in var/unit and are made again when what they hold has changed. Arguments go to pytest.

    scripts/unit.py [--others] [PYTEST ARGUMENT...]     --others leaves out the Python of .venv
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
#: In how many processes tests run at least; several Pythons run at once, since half of the time they only wait.
WORKERS = int(os.environ.get("WORKERS", "2"))
#: What an environment depends on.
SOURCES = ("pyproject.toml", "requirements/unit.txt", "scripts/venv.sh")
#: What only reads texts of this repository: whichever Python reads them finds the same.
TEXTS = ("test_architecture.py", "test_chart_values.py", "test_docs.py", "test_requirements.py")
_VERSION = "import sys; print(*sys.version_info[:3], sys.implementation.name, sys.executable)"
#: The unit tests need no service; these keep them from using one, or a package index.
_ALONE = {"ATTUNE_TEST_EXAMPLES": os.environ.get("ATTUNE_TEST_EXAMPLES", "quick"), "PIP_NO_INDEX": "1"}


def main(arguments: list[str]) -> int:
    """Run the tests on every Python; return 1 when they fail on any."""
    others = "--others" in arguments
    words = [word for word in arguments if word != "--others"]
    pythons = found_pythons()
    if others:
        pythons.pop(version_of(str(ROOT / ".venv" / "bin" / "python"))[0][:2], None)
    if not pythons:
        print("unit tests: no other Python of at least 3.11 is on this machine")
        return 0
    processes = max(1, WORKERS // len(pythons))
    with ThreadPoolExecutor(len(pythons)) as pool:
        codes = [pool.submit(run, *python, words, processes) for _, python in sorted(pythons.items())]
        return int(any(code.result() != 0 for code in codes))


def found_pythons() -> dict[tuple[int, int], tuple[str, str]]:
    """Return version and program of one Python of each minor version; the one of .venv comes first."""
    named = os.environ.get("PYTHONS", "").split()
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for candidate in named or candidates():
        version, program = version_of(candidate)
        if version >= OLDEST:
            found.setdefault(version[:2], (".".join(map(str, version)), program))
        elif named:
            sys.exit(f"PYTHONS: {candidate} is not a Python of at least {OLDEST[0]}.{OLDEST[1]}")
    return found


def candidates() -> Iterator[str]:
    """Every program that may be a Python, each once."""
    home = Path.home()
    folders = [ROOT / ".venv" / "bin", *map(Path, os.environ.get("PATH", "").split(os.pathsep))]
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    for versions in (pyenv, uv):
        folders += [path / "bin" for path in sorted(versions.glob("*"), reverse=True)]
    seen = set()
    for folder in folders:
        for program in sorted(folder.glob("python3*")):
            real = program.resolve()
            if re.fullmatch(r"python3(\.\d+)?", program.name) and real not in seen:
                seen.add(real)
                yield str(program)


def version_of(program: str) -> tuple[tuple[int, ...], str]:
    """Ask a Python for its version and its own path, also behind a shim; (0,) where it is none that we run on."""
    path = shutil.which(program)
    asked = [path or program, "-I", "-c", _VERSION]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True)
        major, minor, patch, name, executable = done.stdout.split(maxsplit=4)
    except (OSError, ValueError, subprocess.SubprocessError):
        return (0,), program
    if name != "cpython":
        return (0,), program
    return (int(major), int(minor), int(patch)), executable.strip()


def run(version: str, program: str, words: list[str], processes: int) -> int:
    """Run the unit tests on one Python, and say how they went when they have ended."""
    venv = environment(program, version.rpartition(".")[0])
    if venv is None:
        print(f"unit tests on Python {version} ({program}): no virtual environment could be made", flush=True)
        return 1
    if venv != ROOT / ".venv":
        words = [*words, *(f"--ignore=tests/unit/{name}" for name in TEXTS)]
    parallel = ["-n", str(processes), "--dist", "loadscope", "--no-loadscope-reorder"] if processes > 1 else []
    command = [venv / "bin" / "python", "-m", "pytest", "tests/unit", "-q", "-p", "no:cacheprovider", *parallel, *words]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **_ALONE}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        print(done.stdout)
    last = (done.stdout.splitlines() or ["nothing was printed"])[-1]
    print(f"unit tests on Python {version} ({program}): {last}", flush=True)
    return done.returncode


def environment(program: str, minor: str) -> Path | None:
    """Return the virtual environment of a Python; made when it is missing or older than what says what is in it."""
    if minor == version_name(ROOT / ".venv"):
        return ROOT / ".venv"
    venv = ROOT / "var" / "unit" / minor
    made = venv / ".installed"
    newest = max((ROOT / source).stat().st_mtime for source in SOURCES)
    if not made.exists() or made.stat().st_mtime < newest:
        venv.parent.mkdir(parents=True, exist_ok=True)
        command = [ROOT / "scripts" / "venv.sh", str(venv.relative_to(ROOT)), "unit"]
        if subprocess.run(command, env={**os.environ, "PYTHON": program}, check=False).returncode != 0:
            return None
        made.touch()
    return venv


def version_name(venv: Path) -> str:
    """Return the minor version of a virtual environment's Python."""
    version, _ = version_of(str(venv / "bin" / "python"))
    return ".".join(map(str, version[:2]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
