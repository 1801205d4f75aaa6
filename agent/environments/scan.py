"""Build environments ahead of need: at a full worker's start and when a pack was registered.

Workers that share a database agree through ``pack_environment`` on who builds what, so that not all of them build the
same environment on the same volume at the same time.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from agent.environments.lease import Lease, enter
from agent.environments.manager import EnvironmentManager
from agent.environments.model import EnvironmentRequest
from agent.environments.store import EnvironmentRow, EnvironmentStore
from agent.errors import AgentError, DatabaseError, EnvironmentFailed

log = logging.getLogger(__name__)

ATTEMPTS = 3
#: Seconds before each attempt, so that workers that were started together don't all ask at once.
JITTER = (0.1, 0.499)

Outcome = Literal["created", "skipped"]


@dataclass
class ScanSummary:
    """What a scan did; each entry is ``pack/name``, an error is followed by its reason."""

    created: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def scan(
    manager: EnvironmentManager,
    requests: Iterable[EnvironmentRequest],
    *,
    pause: Callable[[float], object] = time.sleep,
) -> ScanSummary:
    """Build what is missing, one after the other, and say what was done; never raises for an environment.

    A request without an environment in its runtime's definition, or whose pack isn't on this disk, is skipped.
    """
    summary = ScanSummary()
    for request in requests:
        if request.asked_to_end:
            break
        try:
            outcome = _set_up(manager, request, pause)
        except (AgentError, OSError) as error:
            log.warning("%s could not be set up: %s", request, error)
            summary.errors.append(f"{request}: {error}")
        else:
            (summary.created if outcome == "created" else summary.skipped).append(str(request))
    return summary


def _set_up(manager: EnvironmentManager, request: EnvironmentRequest, pause: Callable[[float], object]) -> Outcome:
    if not request.isolated or not request.pack_dir.is_dir():
        return "skipped"
    store, worker = manager.store, manager.worker_id()
    row: EnvironmentRow | None = None
    if store is not None and worker is not None:
        try:
            row = enter(store, request, manager.layout(request), manager.fingerprint(request))
        except DatabaseError as error:
            log.warning("%s is set up, but not recorded in the database: %s", request, error)
    if store is None or worker is None or row is None:
        return "created" if manager.build_if_needed(request) else "skipped"
    return _coordinated(manager, request, store, worker, row, pause)


def _coordinated(
    manager: EnvironmentManager,
    request: EnvironmentRequest,
    store: EnvironmentStore,
    worker: int,
    row: EnvironmentRow,
    pause: Callable[[float], object],
) -> Outcome:
    """Claim the row and build, up to three times; whoever finds it claimed by another leaves it to that one.

    Raises:
        EnvironmentFailed: the last attempt failed.
        DatabaseError: the row can't be read or claimed.
    """
    if _ready(manager, request, row):
        return "skipped"
    failure: EnvironmentFailed | None = None
    for _ in range(ATTEMPTS):
        pause(random.uniform(*JITTER))  # noqa: S311 - spreads load, protects nothing
        known = store.read(row.id)
        if known is None or _ready(manager, request, known):
            return "skipped"
        if known.status == "ready":
            store.mark_outdated(row.id)
        if not store.claim(row.id, worker):
            continue
        try:
            checksum = manager.fingerprint(request).manifest_checksum
            with Lease(store, row.id, worker).held(checksum, manager.layout(request)):
                return "created" if manager.build_if_needed(request) else "skipped"
        except EnvironmentFailed as error:
            failure = error
            if error.cancelled:
                break
    if failure is not None:
        raise failure
    return "skipped"


def _ready(manager: EnvironmentManager, request: EnvironmentRequest, row: EnvironmentRow) -> bool:
    """Whether the row says ready for this manifest and the disk agrees."""
    checksum = manager.fingerprint(request).manifest_checksum
    return row.status == "ready" and row.manifest_checksum == checksum and manager.current(request) is not None
