"""Where the files of a pack lie while an execution or a sensor uses them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from agent.errors import InvalidExecution
from agent.reading.beneath import is_inside


class PackUser(Protocol):
    """What uses a pack: an action, or a sensor. ``id`` and ``ref`` are unique among those of one class."""

    @property
    def id(self) -> int: ...
    @property
    def ref(self) -> str: ...
    @property
    def pack_ref(self) -> str: ...


class PackFiles(Protocol):
    """Finds, or brings, the files of packs; for any thread."""

    def of(self, user: PackUser, stamp: str, *, ended: Callable[[], bool], progress: Callable[[str], None]) -> str:
        """Return the directory of the user's pack, which stays as it is until ``release``.

        ``stamp`` changes whenever the user's row does; ``ended`` says that nobody waits for it any longer.

        Raises:
            InvalidExecution: the pack's name is no name of a directory.
            EnvironmentFailed: its files can't be had.
        """

    def release(self, directory: str) -> None:
        """Say that whoever had it no longer needs it."""


class SharedPacks:
    """Packs that lie in one directory, as who installed them left them."""

    def __init__(self, base: str) -> None:
        """Look below ``base``."""
        self._base = base

    def of(self, user: PackUser, stamp: str, *, ended: Callable[[], bool], progress: Callable[[str], None]) -> str:
        """See the protocol: one name below the base."""
        return os.path.join(self._base, pack_name(user))

    def release(self, directory: str) -> None:
        """Do nothing: nobody keeps account."""


def pack_name(user: PackUser) -> str:
    """Return the name of the user's pack, which is one part of a path. Raises InvalidExecution."""
    name = user.pack_ref
    if not is_inside(name) or "/" in name or name.startswith("."):
        raise InvalidExecution(f"the pack {name[:100]!r} of {user.ref[:200]} is no name of a directory")
    return name
