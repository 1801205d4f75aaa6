"""Which file an entry point means, and whether it may be used (promise: entry points stay in the pack)."""

from __future__ import annotations

import os
from pathlib import Path

# The same ends of names as where an execution decides: what is registered as a path must run as one.
_SCRIPTS = (".sh", ".bash", ".zsh", ".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".go", ".java", ".pl", ".r", ".lua")
SUFFIXES = frozenset((*_SCRIPTS, ".jar", ".php", ".ps1"))


def is_path(entrypoint: str, directory: Path) -> bool:
    """Whether ``entrypoint`` means a file below ``directory``.

    It does when it has no white space, and a slash, a known suffix or a file of that name.
    """
    if not entrypoint or "\0" in entrypoint or any(character.isspace() for character in entrypoint):
        return False
    if "/" in entrypoint or os.path.splitext(entrypoint)[1].lower() in SUFFIXES:
        return True
    try:
        return (directory / entrypoint).is_file()
    except (OSError, ValueError):
        return False


def wrong_file(entrypoint: str, directory: Path, pack: Path) -> str | None:
    """Say why the file that ``entrypoint`` means can't be run; None when it can.

    ``directory`` is the pack's ``actions`` or ``sensors``; symbolic links may not lead out of ``pack``.
    """
    try:
        real = (directory / entrypoint).resolve()
        if not real.is_relative_to(pack.resolve()):
            return f"{entrypoint} lies outside the pack"
        if not real.is_file():
            return f"there is no file {directory.name}/{entrypoint}"
    except (OSError, ValueError, RuntimeError) as error:
        return f"{entrypoint!r} is not a valid path: {error}"
    return None


def is_executable(entrypoint: str, directory: Path) -> bool:
    """Whether somebody may execute the file."""
    return bool((directory / entrypoint).stat().st_mode & 0o111)
