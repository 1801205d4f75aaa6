"""Fake interpreters: small programs that behave like well- and ill-mannered ones."""

from __future__ import annotations

import shlex
from pathlib import Path


def write_program(directory: Path, name: str, body: str) -> Path:
    """Write an executable shell script."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def prints(line: str) -> str:
    """Print ``line`` to stdout."""
    return f"printf '%s\\n' {shlex.quote(line)}"


def complains(line: str, code: int = 1) -> str:
    """Print ``line`` to stderr and fail."""
    return f"printf '%s\\n' {shlex.quote(line)} >&2\nexit {code}"


#: Never answers, and neither does the process that it started; both ignore a polite request.
HANGS = "trap '' TERM INT HUP\nsleep 600 &\nsleep 600"
