"""What this worker says it can do, and how that changes once versions are verified."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agent.errors import DatabaseError
from agent.runtimes.advertised import detected_versions, merged_versions, verified_versions, version_checks
from agent.runtimes.capabilities import WorkerFacts, build_capabilities
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
        self._known: dict[int, tuple[VersionCheck, str]] = {}
        self._told: tuple[tuple[int, bool, str | None], ...] = ()

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
        capabilities, _ = build_capabilities(replace(self._facts, runtime_versions=versions))
        entries = [entry for check, when in known for entry in version_checks([check], when)]
        try:
            self._write({**capabilities, "runtime_verdicts": entries})
        except DatabaseError as error:
            log.warning("verified versions are not advertised: %s", error)
