"""Which version of a runtime an execution gets on this machine: verified on demand, remembered for a while.

Promises: versions are verified here; no other version runs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from agent.errors import AgentError, InvalidExecution, UnmetConstraint
from agent.runtimes.choice import choose_version
from agent.runtimes.execution_config import ExecutionConfig
from agent.runtimes.local import Local, localize
from agent.runtimes.machine import Machine
from agent.runtimes.model import RuntimeVersion
from agent.runtimes.names import environment_name, language_of
from agent.runtimes.registry import UsableRuntime
from agent.runtimes.verification import VersionCheck, verify_versions

log = logging.getLogger(__name__)

#: Checks older than this (seconds) are looked at again before an execution is failed for them.
_RECHECK_BEFORE_FAILURE = 30.0
#: Choices that are remembered; constraints come from actions, so there are few.
_MOST_CHOICES = 4096


@dataclass(frozen=True)
class SelectedVersion:
    """What an execution runs with.

    ``env_name`` is the environment's directory below the pack's (``python``, ``python-3.12``). ``interpreter`` is an
    absolute path, empty where the file is run itself. ``version`` is the row's (None: the base configuration),
    ``actual`` what the interpreter says of itself where that is known.
    """

    config: ExecutionConfig
    env_name: str
    interpreter: str
    version: str | None = None
    version_id: int | None = None
    actual: str | None = None


@dataclass(frozen=True)
class _Verified:
    """The checks about one runtime's rows; they hold as long as the rows are the same."""

    runtime: UsableRuntime
    checks: tuple[VersionCheck, ...]
    at: float


@dataclass(frozen=True)
class _Choice:
    runtime: UsableRuntime
    selected: SelectedVersion
    local: Local
    until: float


class VersionSelector:
    """Selects versions; a warm selection is two look-ups and one look at the interpreter's file."""

    def __init__(
        self,
        machine: Machine,
        *,
        reverify_after: float = 600.0,
        record: Callable[[Sequence[VersionCheck]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Trust nothing yet.

        Args:
            machine: this machine's environment and interpreters.
            reverify_after: seconds that checks are trusted.
            record: is told new checks, to write them to the database; its failure fails no execution.
            clock: seconds from any origin.
        """
        self._machine = machine
        self._reverify_after = reverify_after
        self._record = record
        self._clock = clock
        self._lock = threading.Lock()
        self._turns: dict[int, threading.Lock] = {}
        self._verified: dict[int, _Verified] = {}
        self._choices: dict[tuple[int, str], _Choice] = {}

    def select(self, runtime: UsableRuntime, constraint: str | None = None) -> SelectedVersion:
        """Return what an action with this constraint runs with.

        The first call that needs the versions of a runtime verifies them; others wait for its checks.

        Raises:
            UnmetConstraint: nothing on this machine meets the constraint; the message says what was found.
            InvalidExecution: this machine has no interpreter for the runtime.
        """
        key = runtime.runtime.id, (constraint or "").strip()
        choice = self._choices.get(key)
        if choice is not None and choice.runtime is runtime and choice.local.present and self._clock() < choice.until:
            return choice.selected
        with self._turn(runtime.runtime.id):
            return self._choose(key, runtime, constraint, vanished=choice is not None and not choice.local.present)

    def verify(self, runtimes: Iterable[UsableRuntime]) -> list[VersionCheck]:
        """Verify all versions of ``runtimes`` now, side by side, and remember the checks."""
        wanted = [runtime for runtime in runtimes if runtime.versions]
        checks = verify_versions([row for runtime in wanted for row in runtime.versions], self._machine)
        at = self._clock()
        with self._lock:
            for runtime in wanted:
                own = tuple(check for check in checks if check.row.runtime == runtime.runtime.id)
                self._verified[runtime.runtime.id] = _Verified(runtime, own, at)
        self._announce(checks)
        return checks

    def _turn(self, runtime_id: int) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(runtime_id, threading.Lock())

    def _choose(
        self, key: tuple[int, str], runtime: UsableRuntime, constraint: str | None, *, vanished: bool
    ) -> SelectedVersion:
        verified = self._checks_of(runtime, older_than=0.0 if vanished else self._reverify_after)
        base = self._base(runtime)
        try:
            local, selected = _selected(runtime, verified.checks, constraint, base)
        except UnmetConstraint:
            again = self._checks_of(runtime, older_than=_RECHECK_BEFORE_FAILURE)
            if again is verified:
                raise
            verified = again
            local, selected = _selected(runtime, verified.checks, constraint, base)
        until = verified.at + self._reverify_after
        with self._lock:
            if len(self._choices) >= _MOST_CHOICES:
                self._choices.clear()
            self._choices[key] = _Choice(runtime, selected, local, until)
        return selected

    def _base(self, runtime: UsableRuntime) -> Local | None:
        """How the base configuration is run: looked for again where its interpreter was missing or has vanished."""
        if runtime.local is not None and runtime.local.present:
            return runtime.local
        language = language_of(runtime.runtime.name, runtime.runtime.ref)
        detected = self._machine.detected.get(language)
        return localize(runtime.runtime.config, name=language, detected=detected, find=self._machine.find)

    def _checks_of(self, runtime: UsableRuntime, *, older_than: float) -> _Verified:
        """The checks about ``runtime``, made anew when they are older, or about rows that have changed."""
        now = self._clock()
        known = self._verified.get(runtime.runtime.id)
        if known is not None and _same_rows(known.runtime, runtime) and now - known.at < older_than:
            return known
        started = time.monotonic()
        checks = tuple(verify_versions(runtime.versions, self._machine))
        verified = _Verified(runtime, checks, self._clock())
        with self._lock:
            self._verified[runtime.runtime.id] = verified
        if checks:
            available = [check.row.version for check in checks if check.available]
            log.info(
                "verified %d versions of %s in %.2f s, available: %s",
                len(checks),
                runtime.runtime.ref,
                time.monotonic() - started,
                ", ".join(available) or "none",
            )
        self._announce(checks)
        return verified

    def _announce(self, checks: Sequence[VersionCheck]) -> None:
        if self._record is None or not checks:
            return
        try:
            self._record(checks)
        except AgentError as error:
            log.warning("the availability of versions could not be written: %s", error)


def _same_rows(one: UsableRuntime, other: UsableRuntime) -> bool:
    """Whether checks about the rows of one hold for the other: what agents write into the rows doesn't count."""
    return one is other or [*map(_definition, one.versions)] == [*map(_definition, other.versions)]


def _definition(row: RuntimeVersion) -> RuntimeVersion:
    return replace(row, available=False, verified_at=None)


def _selected(
    runtime: UsableRuntime, checks: Sequence[VersionCheck], constraint: str | None, base: Local | None
) -> tuple[Local, SelectedVersion]:
    chosen = choose_version(checks, constraint, base=base, runtime=runtime.runtime.name, language=runtime.name)
    if chosen is not None and chosen.local is not None:
        row, local = chosen.row, chosen.local
        name = environment_name(runtime.name, row.version)
        selected = SelectedVersion(local.config, name, local.interpreter, row.version, row.id, chosen.actual)
        return local, selected
    if base is None:
        binary = runtime.runtime.config.interpreter.binary
        raise InvalidExecution(
            f"this machine has no interpreter for {runtime.runtime.name} ({runtime.runtime.ref}): {binary} isn't here",
            hint="install it, or restrict the worker to the runtimes that it has (ATTUNE_WORKER_RUNTIMES)",
        )
    return base, SelectedVersion(base.config, environment_name(runtime.name), base.interpreter, actual=base.version)
