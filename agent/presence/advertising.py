"""What this worker says it can do, and how that changes once versions are verified."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agent.db.pool import Database
from agent.errors import DatabaseError
from agent.runtimes.advertised import detected_versions, merged_versions, verified_versions, version_checks
from agent.runtimes.capabilities import WorkerFacts, build_capabilities
from agent.runtimes.store import record_checks
from agent.runtimes.verification import VersionCheck

log = logging.getLogger(__name__)


class Advertiser:
    """Builds the capabilities from facts, and writes them again when versions were checked."""

    def __init__(
        self,
        facts: WorkerFacts,
        write: Callable[[Mapping[str, Any]], object],
        *,
        allowed: Sequence[str] | None,
    ) -> None:
        """``write`` puts capabilities into the worker's row; ``allowed`` is the operator's filter."""
        self._facts = facts
        self._write = write
        self._allowed = allowed
        self._guard = threading.Lock()
        self._beside: Mapping[str, Any] = {}
        self._entries: list[dict[str, Any]] = []
        self._known: dict[int, tuple[VersionCheck, str]] = {}
        self._told: tuple[tuple[int, bool, str | None], ...] = ()

    def record(self, database: Database, checks: Sequence[VersionCheck], worker_id: int) -> None:
        """Tell what was checked: everybody in the versions' rows, placement in this worker's own.

        Raises:
            DatabaseError: the versions' rows could not be written.
        """
        record_checks(database, checks, worker_id=worker_id)
        self.advertise(checks)

    def advertise(self, checks: Sequence[VersionCheck]) -> None:
        """Tell what was checked, beside what was checked before; what an agent detected is told beside it.

        A row that changes makes the executor look again, so nothing is written where nothing has changed.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._guard:
            self._known |= {check.row.id: (check, at) for check in checks}
            known = list(self._known.values())
            told = tuple((check.row.id, check.available, check.actual) for check, _ in known)
            if told == self._told:
                return
            self._told = told
        available = ((check.row.runtime_ref, check.row.version) for check, _ in known if check.available)
        verified = verified_versions(available, self._allowed)
        versions = merged_versions(detected_versions(self._facts.detected), verified)
        entries = [entry for check, when in known for entry in version_checks([check], when)]
        with self._guard:
            self._facts = replace(self._facts, runtime_versions=versions)
            self._entries = entries
        try:
            self._tell()
        except DatabaseError as error:
            log.warning("verified versions are not advertised: %s", error)

    def tell_beside(self, counted: Mapping[str, Any]) -> None:
        """Tell further keys, where they are others than those told before. Raises DatabaseError."""
        with self._guard:
            if counted == self._beside:
                return
            self._beside = dict(counted)
        self._tell()

    def _tell(self) -> None:
        with self._guard:
            capabilities, _ = build_capabilities(self._facts)
            checked = {"runtime_verdicts": self._entries} if self._known else {}
            document = {**capabilities, **checked, **self._beside}
        self._write(document)
