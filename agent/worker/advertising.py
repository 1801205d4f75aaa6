"""What this worker says it can do, and how that changes once versions are verified."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.errors import DatabaseError
from agent.runtimes.advertised import detected_versions, merged_versions, verified_versions
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

    def advertise(self, checks: Sequence[VersionCheck]) -> None:
        """Tell the versions that were found available; what an agent detected is told beside them."""
        rows = ((check.row.runtime_ref, check.row.version) for check in checks if check.available)
        verified = verified_versions(rows, self._allowed)
        versions = merged_versions(detected_versions(self._facts.detected), verified)
        capabilities, _ = build_capabilities(replace(self._facts, runtime_versions=versions))
        try:
            self._write(capabilities)
        except DatabaseError as error:
            log.warning("verified versions are not advertised: %s", error)
