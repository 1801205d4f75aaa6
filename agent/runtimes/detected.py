"""An interpreter that was found on this machine (pure)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DetectedInterpreter:
    """One interpreter that was found on this machine.

    ``name`` is canonical (``shell``, ``python``, ``node``…), ``path`` is as found (symlinks unresolved),
    ``version`` is None when it could not be told; ``problem`` then says why (``no answer within 5 s``).
    """

    name: str
    path: str
    version: str | None = None
    problem: str | None = None
