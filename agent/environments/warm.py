"""Remember prepared environments: what was found once is trusted for as long as its files look the same.

A persistent volume may be changed by others, so each use compares a handful of stat(2) results; nothing is read, no
process is started and no database is asked.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from agent.environments.marker import TOUCH_EVERY, touch_last_used
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from agent.runtimes.model import ExecutionConfig

_Stamp = tuple[int, int, int] | None


@dataclass
class _Entry:
    config: ExecutionConfig
    pack_dir: Path
    version: str | None
    prepared: PreparedEnvironment
    stamps: tuple[tuple[str, _Stamp], ...]
    until: float | None
    touched: float = field(default=-TOUCH_EVERY)


class WarmEnvironments:
    """The environments that this process has prepared; safe to use from any thread."""

    def __init__(self, on_use: Callable[[EnvironmentRequest], None] = lambda request: None) -> None:
        """Know none; ``on_use`` is told about once an hour of each that is used, and must not wait."""
        self._on_use = on_use
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str], _Entry] = {}

    def get(self, request: EnvironmentRequest) -> PreparedEnvironment | None:
        """Return what ``request`` got before, if nothing that it depends on has changed."""
        entry = self._entries.get(_key(request))
        if entry is None or not _fits(entry, request):
            return None
        now = time.monotonic()
        if entry.until is not None and now > entry.until:
            return None
        for path, stamp in entry.stamps:
            if _stamp(path) != stamp:
                return None
        if entry.prepared.env_dir is not None and now - entry.touched > TOUCH_EVERY:
            entry.touched = now
            touch_last_used(entry.prepared.env_dir)
            self._on_use(request)
        return entry.prepared

    def put(
        self,
        request: EnvironmentRequest,
        prepared: PreparedEnvironment,
        depends_on: Iterable[Path | str] = (),
        *,
        lasts: float | None = None,
    ) -> PreparedEnvironment:
        """Remember ``prepared`` until one of the files changes, or for ``lasts`` seconds."""
        stamps = tuple((str(path), _stamp(str(path))) for path in depends_on)
        until = None if lasts is None else time.monotonic() + lasts
        entry = _Entry(request.config, request.pack_dir, request.interpreter_version, prepared, stamps, until)
        with self._lock:
            self._entries[_key(request)] = entry
        return prepared

    def forget_pack(self, pack_ref: str) -> None:
        """Forget all environments of a pack."""
        with self._lock:
            self._entries = {key: entry for key, entry in self._entries.items() if key[0] != pack_ref}


def _key(request: EnvironmentRequest) -> tuple[str, str, str]:
    return request.pack_ref, request.dir_name, request.interpreter


def _fits(entry: _Entry, request: EnvironmentRequest) -> bool:
    return (
        (entry.config is request.config or entry.config == request.config)
        and entry.pack_dir == request.pack_dir
        and entry.version == request.interpreter_version
    )


def _stamp(path: str) -> _Stamp:
    """Tell one content of ``path`` from another; None when it isn't there (a dangling link isn't)."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
