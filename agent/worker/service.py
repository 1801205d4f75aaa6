"""The worker service, the same for the injected agent and the full worker: the order of its start and of its stop."""

from __future__ import annotations

import logging
import threading
import time
from enum import Enum

from agent.configuration import Loaded
from agent.errors import AgentError, DatabaseError
from agent.process.prctl import become_subreaper, hide_memory
from agent.process.request import Ending
from agent.worker.assembly import Assembly, assemble
from agent.worker.reconciliation import reconcile
from agent.worker.signals import StopSignals

log = logging.getLogger(__name__)

#: Seconds of the shutdown time that are kept to interrupt, kill and report what did not end by itself (E11).
_KILL_RESERVE, _REPORT_RESERVE = 5.0, 3.0
_SUBSCRIBE_PATIENCE = 30.0


class StartupMode(Enum):
    """How a worker starts (E15): a full worker prepares everything, an agent only what an execution asks for."""

    WORKER = "worker"
    AGENT = "agent"


def run_worker(loaded: Loaded, *, mode: StartupMode) -> int:
    """Run until a signal asks for the end; return the exit code.

    Raises:
        AgentError: the worker can't start; its ``exit_code`` says why.
    """
    hide_memory()
    become_subreaper()
    with StopSignals() as signals:
        service = WorkerService(loaded, mode, signals)
        try:
            service.start()
            service.wait()
        finally:
            service.stop()
    return service.exit_code


class WorkerService:
    """One worker from registration to the last write of its row."""

    def __init__(self, loaded: Loaded, mode: StartupMode, signals: StopSignals) -> None:
        """Connect to nothing yet."""
        self._loaded = loaded
        self._mode = mode
        self._signals = signals
        self._parts: Assembly | None = None
        self._active = False
        self._draining = threading.Event()
        self.exit_code = 0

    def start(self) -> None:
        """Register, declare, reconcile, beat, consume, and only then become active (E15)."""
        settings = self._loaded.settings
        agent_mode = self._mode is StartupMode.AGENT
        parts = assemble(self._loaded, agent_mode=agent_mode, on_death=self._thread_died, on_lost=self._seat_lost)
        self._parts = parts
        seating = parts.seat.take(patience=settings.worker.shutdown_timeout, giving_up=self._signals.stop)
        parts.join(seating.worker_id)
        parts.broker.declare(parts.queues)
        parts.threads.start("publisher", parts.publisher.run)
        reconcile(
            parts.store,
            parts.publisher,
            parts.spool,
            previous_heartbeat=seating.previous_heartbeat,
            interval=settings.worker.heartbeat_interval,
        )
        parts.threads.start("heartbeat", parts.heartbeat.run)
        parts.threads.start("ledger", parts.ledger.run)
        parts.slots.start(parts.threads)
        for name, consumer in parts.consumers.items():
            parts.threads.start(f"consumer-{name}", consumer.run)
        self._wait_for_subscriptions(parts)
        parts.seat.set_status("active")
        self._active = True
        parts.threads.start("setup", parts.setup.run)
        if self._mode is StartupMode.WORKER:
            parts.setup.prepare_all()
        log.info("worker %s is active", settings.worker.name, extra={"worker": seating.worker_id})

    def _wait_for_subscriptions(self, parts: Assembly) -> None:
        deadline = time.monotonic() + _SUBSCRIBE_PATIENCE
        while not all(consumer.subscribed for consumer in parts.consumers.values()):
            if self._signals.stop.wait(0.01) or time.monotonic() > deadline:
                return

    def wait(self) -> None:
        """Return when a signal or a failure asks for the end."""
        self._signals.stop.wait()

    @property
    def ready(self) -> bool:
        """Whether the worker is registered and the broker delivers to it now."""
        parts = self._parts
        return parts is not None and self._active and all(c.subscribed for c in parts.consumers.values())

    @property
    def live(self) -> bool:
        """Whether the service's threads do their work, whatever database and broker do."""
        parts = self._parts
        return parts is not None and not self._signals.stop.is_set()

    @property
    def restore_active(self) -> bool:
        """Whether a heartbeat may set the status back to ``active`` (E12)."""
        return self._active and not self._draining.is_set()

    def stop(self) -> None:
        """Drain and leave. The order is the promise:

        busy, so that nobody sends more or takes us for dead; no more deliveries; what is not claimed goes back; what
        runs may finish; the rest is interrupted and killed; every end is written and published; inactive is the last
        write; then the connections go.
        """
        parts = self._parts
        if parts is None:
            return
        started = time.monotonic()
        self._draining.set()
        budget = self._loaded.settings.worker.shutdown_timeout
        try:
            if parts.joined:
                self._drain(parts, started + max(0.0, budget - _KILL_RESERVE - _REPORT_RESERVE))
        finally:
            parts.close()
        if self._signals.hurry.is_set():
            self.exit_code = self.exit_code or 75

    def _drain(self, parts: Assembly, finish_by: float) -> None:
        self._set_status(parts, "busy")
        for name in ("executions", "packs"):
            parts.consumers[name].stop()
        offers = parts.ledger.drain(_REPORT_RESERVE)
        parts.handback.give_back(offers)
        if len(parts.running):
            log.info("draining: %d executions are running", len(parts.running))
        while not self._signals.hurry.is_set() and time.monotonic() < finish_by:
            if parts.running.wait_empty(0.1):
                break
        if parts.running.stop_all(Ending.SHUTDOWN):
            parts.running.wait_empty(_KILL_RESERVE + 1.0)
        if not (parts.ledger.settled(_REPORT_RESERVE) and parts.publisher.flush(_REPORT_RESERVE)):
            log.warning("not everything could be reported; the next start under this name goes on with it")
        self._set_status(parts, "inactive")

    def _set_status(self, parts: Assembly, status: str) -> None:
        try:
            parts.seat.set_status(status)
        except DatabaseError as error:
            log.warning("can't set the worker's status to %s: %s", status, error)

    def _thread_died(self, name: str, error: BaseException) -> None:
        self.exit_code = error.exit_code if isinstance(error, AgentError) else 70
        self._signals.stop.set()

    def _seat_lost(self) -> None:
        self.exit_code = 1
        self._signals.stop.set()
