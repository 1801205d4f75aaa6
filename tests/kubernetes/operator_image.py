"""A stand-in of the image with the operator's command: the same program and libraries, packed without an engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.kubernetes.images import archive, layer
from tests.services import roots
from tests.services.frozen import ROOT

_PROGRAM = b"""#!/bin/sh
export PYTHONPATH=/opt/attune/operator/program:/opt/attune/operator/libraries
exec python3 -c 'from agent.cli.operator import main; main()' "$@"
"""
#: What the image's own recipe installs, for the Python of the root, which may be another one than that of these tests.
_LOCKED = ("--require-hashes", "--no-deps", "-r", str(ROOT / "requirements" / "server.txt"))
_FOR = ("--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:")


def operator_image(place: Path, name: str) -> Path:
    """Write the image ``name`` as a docker-archive into the directory ``place`` and return the file."""
    libraries = place / "libraries"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(libraries)]
    done = subprocess.run([*command, *_FOR, *_LOCKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    operator = "opt/attune/operator"
    files: dict[str, Path | bytes] = {f"{operator}/libraries": libraries, "usr/local/bin/attune": _PROGRAM}
    files |= {f"{operator}/program/{part}": ROOT / part for part in ("agent", "packs", "migrations")}
    return archive(place / "operator.tar", name, [roots.archive("debian"), layer(place / "operator-layer.tar", files)])
