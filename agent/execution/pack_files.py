"""Where the files of a pack lie while an execution uses them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from agent.errors import InvalidExecution
from agent.execution.model import Action
from agent.reading.beneath import is_inside


class PackFiles(Protocol):
    """Finds, or brings, the files of packs; for any thread."""

    def of(self, action: Action, stamp: str, *, ended: Callable[[], bool], progress: Callable[[str], None]) -> str:
        """Return the directory of the action's pack, which stays as it is until ``release``.

        ``stamp`` changes whenever the action's row does; ``ended`` says that nobody waits for it any longer.

        Raises:
            InvalidExecution: the pack's name is no name of a directory.
            EnvironmentFailed: its files can't be had.
        """

    def release(self, directory: str) -> None:
        """Say that the execution no longer needs it."""


class SharedPacks:
    """Packs that lie in one directory, as who installed them left them."""

    def __init__(self, base: str) -> None:
        """Look below ``base``."""
        self._base = base

    def of(self, action: Action, stamp: str, *, ended: Callable[[], bool], progress: Callable[[str], None]) -> str:
        """See the protocol: one name below the base."""
        return os.path.join(self._base, pack_name(action))

    def release(self, directory: str) -> None:
        """Do nothing: nobody keeps account."""


def pack_name(action: Action) -> str:
    """Return the name of the action's pack, which is one part of a path. Raises InvalidExecution."""
    name = action.pack_ref
    if not is_inside(name) or "/" in name or name.startswith("."):
        raise InvalidExecution(f"the pack {name[:100]!r} of {action.ref[:200]} is no name of a directory")
    return name
