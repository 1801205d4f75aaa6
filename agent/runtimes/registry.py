"""The runtimes that this worker can run: rows, seen through this machine's interpreters and the operator's filter."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.errors import InvalidExecution
from agent.runtimes.local import Local, localize
from agent.runtimes.machine import Machine
from agent.runtimes.minimal import builtin_shell, native_runtime
from agent.runtimes.model import ExecutionConfig, Runtime, RuntimeVersion
from agent.runtimes.names import language_of, matches_filter, normalize_runtime_name
from agent.runtimes.store import StoredRuntimes

log = logging.getLogger(__name__)

#: Seconds between two looks into the database for a runtime that isn't known.
_REFRESH_PAUSE = 5.0


@dataclass(frozen=True, eq=False)
class UsableRuntime:
    """A runtime on this machine.

    ``name`` is canonical. ``local`` is how this machine runs the base configuration, None when it has no interpreter
    for it: one of the ``versions`` may still have its own.
    """

    runtime: Runtime
    name: str
    versions: tuple[RuntimeVersion, ...]
    local: Local | None

    @property
    def config(self) -> ExecutionConfig:
        """The base configuration with this machine's interpreter, the row's own where there is none."""
        return self.runtime.config if self.local is None else self.local.config

    @property
    def for_sensors_only(self) -> bool:
        """Whether it is part of a sensor service; by name it would stand in for ``native``."""
        return self.runtime.ref.startswith("core.sensor.")


class _Snapshot:
    """An immutable view: replaced as a whole, so that readers need no lock."""

    def __init__(self, usable: Sequence[UsableRuntime], refused: dict[int, str]) -> None:
        self.usable = tuple(usable)
        self.refused = refused
        self.by_id = {item.runtime.id: item for item in usable if item.runtime.id}
        self.by_name: dict[str, UsableRuntime] = {}
        # Refs win over names, names over aliases; of two rows with one name `core.*` wins over `auto.*`.
        ordered = sorted(usable, key=lambda item: (item.runtime.auto_detected, not _is_core(item), item.runtime.ref))
        for names in (_refs, _own_names, _aliases):
            for item in ordered:
                for name in names(item):
                    self.by_name.setdefault(name, item)


class RuntimeRegistry:
    """Finds the runtime of an action; safe to use from any thread."""

    def __init__(
        self, load: Callable[[], StoredRuntimes], machine: Machine, *, allowed: Sequence[str] | None = None
    ) -> None:
        """Know nothing yet: ``refresh`` loads.

        Args:
            load: reads the rows.
            machine: this machine's environment and interpreters.
            allowed: the runtimes that an operator restricted this worker to, None for all.
        """
        self._load = load
        self._machine = machine
        self._allowed = None if allowed is None else tuple(allowed)
        self._lock = threading.Lock()
        self._loaded_at = float("-inf")
        self._snapshot = _Snapshot((), {})

    def refresh(self) -> None:
        """Load the rows again; what was handed out before stays as it was.

        Raises:
            DatabaseError: they can't be read; the registry stays as it is.
        """
        with self._lock:
            self._refresh()

    def resolve(self, key: int | str) -> UsableRuntime:
        """Return the runtime with this row id, ref, name or alias. One that isn't known is looked for once more.

        Raises:
            InvalidExecution: there is none, its configuration can't be used, or this worker doesn't run it.
            DatabaseError: it had to be looked for and the database can't be read.
        """
        found = self.find(key)
        if found is not None:
            return found
        with self._lock:
            if time.monotonic() - self._loaded_at > _REFRESH_PAUSE:
                self._refresh()
        found = self.find(key)
        if found is None:
            raise InvalidExecution(self._why_not(key))
        return found

    def find(self, key: int | str) -> UsableRuntime | None:
        """Return the runtime if it is known and usable; never asks the database."""
        if isinstance(key, int):
            return self._snapshot.by_id.get(key)
        plain = key.strip().lower()
        by_name = self._snapshot.by_name
        return by_name.get(plain) or by_name.get(normalize_runtime_name(plain))

    def for_file(self, *names: str) -> UsableRuntime | None:
        """Return the first runtime whose files end as one of ``names`` does: for an action without a runtime."""
        extensions = {os.path.splitext(name)[1].lstrip(".").lower() for name in names} - {""}
        for item in self._snapshot.usable:
            own = (item.runtime.config.interpreter.file_extension or "").lstrip(".").lower()
            if own in extensions:
                return self._snapshot.by_name.get(item.name, item)
        return None

    @property
    def usable(self) -> tuple[UsableRuntime, ...]:
        """All runtimes that this worker may run, in the order of their refs."""
        return self._snapshot.usable

    def _refresh(self) -> None:
        stored = self._load()
        for warning in (*stored.problems.values(), *stored.warnings):
            log.warning("%s", warning)
        versions: dict[int, list[RuntimeVersion]] = {}
        for row in stored.versions:
            versions.setdefault(row.runtime, []).append(row)
        rows = [row for row in stored.runtimes if row.id not in stored.problems]
        refused = dict(stored.problems) | {row.id: self._filtered(row) for row in rows if not self._permits(row)}
        usable = [self._localize(row, tuple(versions.get(row.id, ()))) for row in rows if self._permits(row)]
        self._snapshot = _Snapshot([*usable, *self._builtin(stored, usable)], refused)
        self._loaded_at = time.monotonic()

    def _builtin(self, stored: StoredRuntimes, usable: Sequence[UsableRuntime]) -> list[UsableRuntime]:
        """``native`` is always there (promise: native is always there); a database without any runtime gets a shell."""
        has_native = any(item.name == "native" and not item.for_sensors_only for item in usable)
        extra = [] if has_native else [native_runtime()]
        if not stored.runtimes:
            extra.append(builtin_shell(self._machine.detected.get("shell")))
        return [self._localize(runtime, ()) for runtime in extra if self._permits(runtime)]

    def _localize(self, row: Runtime, versions: tuple[RuntimeVersion, ...]) -> UsableRuntime:
        language = language_of(row.name, row.ref)
        detected = self._machine.detected.get(language)
        local = localize(row.config, name=language, detected=detected, find=self._machine.find)
        known = self._snapshot.by_id.get(row.id)
        if known is not None and (known.runtime, known.versions, known.local) == (row, versions, local):
            return known  # what others remember about it stays true
        return UsableRuntime(row, normalize_runtime_name(row.name), versions, local)

    def _permits(self, row: Runtime) -> bool:
        return self._allowed is None or matches_filter((row.name, *row.aliases), self._allowed)

    def _filtered(self, row: Runtime) -> str:
        return (
            f"runtime {row.ref} is not among those that this worker is restricted to ({', '.join(self._allowed or ())})"
        )

    def _why_not(self, key: int | str) -> str:
        reason = self._snapshot.refused.get(key) if isinstance(key, int) else None
        return reason or f"there is no runtime {'with id ' if isinstance(key, int) else ''}{key}"


def _is_core(item: UsableRuntime) -> bool:
    return item.runtime.ref.startswith("core.")


def _refs(item: UsableRuntime) -> tuple[str, ...]:
    return (item.runtime.ref.lower(),)


def _own_names(item: UsableRuntime) -> tuple[str, ...]:
    return () if item.for_sensors_only else (item.runtime.name.lower(), item.name)


def _aliases(item: UsableRuntime) -> tuple[str, ...]:
    if item.for_sensors_only:
        return ()
    return tuple(name for alias in item.runtime.aliases for name in (alias.lower(), normalize_runtime_name(alias)))
