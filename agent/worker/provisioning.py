"""The thread that prepares ahead of need: versions and environments at a full worker's start and after pack events."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from agent.environments.manager import EnvironmentManager
from agent.environments.model import EnvironmentRequest
from agent.environments.scan import scan
from agent.errors import AgentError, EnvironmentFailed
from agent.mq.messages import EnvironmentRebuildRequested, PackDeleted, PackEvent, RuntimeVerifyRequested
from agent.runtimes.registry import RuntimeRegistry
from agent.runtimes.selection import VersionSelector
from agent.worker.needs import EnvironmentNeeds

log = logging.getLogger(__name__)


class Provisioner:
    """Its work is a convenience: a failure is logged, and the execution that needs the thing tries again."""

    def __init__(
        self,
        registry: RuntimeRegistry,
        versions: VersionSelector,
        environments: EnvironmentManager,
        needs: EnvironmentNeeds,
        stopping: threading.Event,
        *,
        changed: Callable[[str], None] = lambda pack_ref: None,
        gone: Callable[[str], None] = lambda pack_ref: None,
        verify_every: float = 0.0,
    ) -> None:
        """Prepare nothing yet; ``stopping`` ends a build that is under way.

        ``changed`` is told of packs at once, ``gone`` of those whose environments were removed. All versions are
        checked again every ``verify_every`` seconds, with 0 never.
        """
        self._registry = registry
        self._versions = versions
        self._environments = environments
        self._needs = needs
        self._changed = changed
        self._gone = gone
        self._verify_every = verify_every
        self._stopping = stopping
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def prepare_all(self) -> None:
        """Verify every version and set up the environments of every pack."""
        self._tasks.put(lambda: self._prepare(None))

    def pack_event(self, event: PackEvent) -> None:
        """Prepare a pack that was registered, remove the environments of one that was deleted, verify or rebuild."""
        if isinstance(event, RuntimeVerifyRequested):
            self._tasks.put(self._verify)
            return
        if isinstance(event, EnvironmentRebuildRequested):
            self._tasks.put(lambda: self._rebuild(event))
            return
        self._changed(event.pack_ref)
        if isinstance(event, PackDeleted):
            self._tasks.put(lambda: self._remove(event.pack_ref))
        else:
            self._tasks.put(lambda: self._prepare(event.pack_ref))

    def used(self, request: EnvironmentRequest) -> None:
        """Note in the database, when there is time, that an environment was used; told about once an hour."""
        self._tasks.put(lambda: self._environments.record_use(request))

    def stop(self) -> None:
        """End ``run`` after what it is doing; a build is cut short."""
        self._stopping.set()
        self._tasks.put(None)

    def run(self) -> None:
        """Do one task after the other until ``stop``."""
        while (task := self._next()) is not None and not self._stopping.is_set():
            try:
                task()
            except (AgentError, OSError) as error:
                log.warning("could not prepare environments in advance: %s", error)
            except Exception:
                log.exception("could not prepare environments in advance")

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._tasks.get(timeout=self._verify_every or None)
        except queue.Empty:
            return self._verify

    def _verify(self) -> None:
        self._registry.refresh()
        self._versions.verify(self._registry.usable)

    def _remove(self, pack_ref: str) -> None:
        self._environments.remove(pack_ref)
        self._gone(pack_ref)

    def _rebuild(self, event: EnvironmentRebuildRequested) -> None:
        for request in self._needs.of(event.pack_ref):
            if self._stopping.is_set():
                return
            try:
                self._environments.rebuild(request, asked_at=event.asked_at.timestamp())
            except EnvironmentFailed as error:
                log.warning("%s could not be built anew, the one before stays: %s", request, error)

    def _prepare(self, pack_ref: str | None) -> None:
        self._verify()
        summary = scan(self._environments, self._needs.of(pack_ref), pause=self._stopping.wait)
        if summary.created or summary.errors:
            log.info("set up %d environments, %d failed", len(summary.created), len(summary.errors))
