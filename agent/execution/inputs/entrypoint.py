"""Decide what an action's entrypoint means: a file of its pack, or for shell actions the script itself.

Only looks at files: it opens and runs none.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from agent.errors import InvalidExecution
from agent.execution.model import Action

#: Ends of names that only a file has.
_SUFFIXES = (
    *(".bash", ".cjs", ".go", ".jar", ".java", ".js", ".lua", ".mjs", ".php", ".pl", ".ps1"),
    *(".py", ".r", ".rb", ".sh", ".ts", ".zsh"),
)

_OUTSIDE = "lies outside its pack"


@dataclass(frozen=True, slots=True)
class Script:
    """A regular file below the action's pack."""

    path: str


@dataclass(frozen=True, slots=True)
class Inline:
    """The text of a script."""

    text: str


def resolve_entrypoint(action: Action, pack_dir: str, *, is_shell: bool) -> Script | Inline:
    """Return the file or the script that ``action`` runs; ``pack_dir`` is the directory of its pack.

    An ad-hoc shell action of a pack that doesn't begin with ``core`` is text unless a file of the pack has that very
    name: such actions are written in the UI, where ``/usr/bin/uptime`` is a command.

    Raises:
        InvalidExecution: the file is missing, isn't a regular file, or lies outside the pack.

    Promise: entry points stay in the pack.
    """
    entrypoint = action.entrypoint
    if is_shell and not _may_be_path(entrypoint):
        return _inline(action)
    path = os.path.join(pack_dir, "actions", entrypoint)
    trouble = script_trouble(pack_dir, "actions", entrypoint)
    if trouble is None:
        return Script(path)
    if is_shell and (_is_text(action) or not (_looks_like_path(entrypoint) or trouble == _OUTSIDE)):
        return _inline(action)
    shown = entrypoint if len(entrypoint) <= 100 else entrypoint[:100] + "…"
    raise InvalidExecution(f"the entrypoint {shown!r} of {action.ref} {trouble}", hint=f"looked for {path}"[:300])


def _inline(action: Action) -> Inline:
    if not action.entrypoint.strip():
        raise InvalidExecution(f"the entrypoint of {action.ref} is empty")
    return Inline(action.entrypoint)


def _is_text(action: Action) -> bool:
    return action.is_adhoc and not action.pack_ref.startswith("core")


def _may_be_path(entrypoint: str) -> bool:
    return len(entrypoint) <= 4096 and bool(entrypoint) and not any(map(str.isspace, entrypoint))


def _looks_like_path(entrypoint: str) -> bool:
    return "/" in entrypoint or entrypoint.lower().endswith(_SUFFIXES)


def script_trouble(pack_dir: str, folder: str, entrypoint: str) -> str | None:
    """Return why a file below a folder of the pack can't be run, None when it is a regular file of the pack."""
    if not entrypoint or "\0" in entrypoint:
        return "is not a valid file name"
    try:
        if _is_plain(pack_dir, folder, entrypoint):
            return None
        real = os.path.realpath(os.path.join(pack_dir, folder, entrypoint), strict=True)
        if not real.startswith(os.path.realpath(pack_dir) + os.sep):
            return _OUTSIDE
        return None if stat.S_ISREG(os.stat(real).st_mode) else "is not a regular file"
    except (OSError, ValueError):
        return "does not exist"


def _is_plain(pack_dir: str, folder: str, entrypoint: str) -> bool:
    """Whether no part below the pack is a symbolic link or leads upwards, so that nothing needs to be resolved."""
    parts = entrypoint.split("/")
    if ".." in parts or "" in parts:
        return False
    path = pack_dir
    mode = 0
    for part in (folder, *parts):
        path = f"{path}/{part}"
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return False
    return stat.S_ISREG(mode)
