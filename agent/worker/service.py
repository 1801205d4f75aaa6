"""The worker service, the same for the injected agent and the full worker: the order of its start and of its stop."""

from __future__ import annotations

import logging
import threading
import time
from enum import Enum

from agent.configuration import Loaded
from agent.errors import AgentError, DatabaseError, Interrupted
from agent.mq import topology
from agent.presence.health_socket import HealthSocket
from agent.process.leftovers import kill_leftovers
from agent.process.oom_score import OOM_SCORE
from agent.process.open_files import OPEN_FILES
from agent.process.prctl import become_subreaper, hide_memory
from agent.process.reaper import Reaper
from agent.process.request import Ending
from agent.threads import ThreadGroup
from agent.worker.assembly import Parts, assemble
from agent.worker.context import WorkerContext, open_context
from agent.worker.reconciliation import reconcile
from agent.worker.signals import StopSignals

log = logging.getLogger(__name__)

#: Seconds of the shutdown time that are kept to interrupt, kill and report what did not end by itself
#: (promise: drain before exit).
_KILL_RESERVE, _REPORT_RESERVE = 5.0, 3.0
_SUBSCRIBE_PATIENCE = 30.0
#: Seconds that a write of the status may hold up the drain.
_STATUS_PATIENCE = 3.0
#: Seconds that the threads get together to end once nothing is left to do.
_JOIN_PATIENCE = 5.0


class StartupMode(Enum):
    """How a worker starts: a full worker prepares everything, an agent only what an execution asks for."""

    WORKER = "worker"
    AGENT = "agent"


def run_worker(loaded: Loaded, *, mode: StartupMode) -> int:
    """Run until a signal asks for the end; return the exit code.

    Raises:
        AgentError: the worker can't start; its ``exit_code`` says why.
    """
    OOM_SCORE.open()
    hide_memory()
    become_subreaper()
    with StopSignals() as signals:
        service = WorkerService(loaded, mode, signals)
        try:
            service.start()
            signals.stop.wait()
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
        self._threads = ThreadGroup(on_death=self._thread_died)
        self._base: WorkerContext | None = None
        self._parts: Parts | None = None
        self._health = HealthSocket(is_live=self.is_live, is_ready=self.is_ready)
        self._reaper = Reaper()
        self._begun = False
        self._active = False
        self._name_taken = False
        self._failed = threading.Event()
        self.exit_code = 0

    def start(self) -> None:
        """Register, declare, reconcile, beat, consume, and only then become active (promise: queues before active)."""
        worker = self._loaded.settings.worker
        self._threads.start("reaper", self._reaper.run)
        self._threads.start("health", self._health.run)
        base = self._base = open_context(self._loaded, agent_mode=self._mode is StartupMode.AGENT)
        OPEN_FILES.raise_for(base.slots)
        registered = base.registration.register(patience=worker.shutdown_timeout, giving_up=self._signals.stop)
        base.broker.declare(topology.worker_queues(registered.worker_id))
        parts = assemble(base, registered.worker_id, restore_active=lambda: self._active, on_lost=self._name_lost)
        self._parts = parts
        self._threads.start("publisher", parts.publisher.run)
        self._end_leftovers(parts)
        reconcile(
            parts.store,
            parts.publisher,
            parts.spool,
            previous_heartbeat=registered.previous_heartbeat,
            interval=worker.heartbeat_interval,
        )
        self._begun = True
        self._threads.start("heartbeat", parts.heartbeat.run)
        self._threads.start("coordinator", parts.coordinator.run)
        parts.slots.start(self._threads)
        for name, consumer in parts.consumers.items():
            self._threads.start(f"consumer-{name}", consumer.run)
        if not self._subscribed(parts):
            return
        base.registration.set_status("active")
        self._active = True
        self._threads.start("provisioner", parts.provisioner.run)
        self._threads.start("rescue", parts.rescue.run)
        if self._mode is StartupMode.WORKER:
            parts.provisioner.prepare_all()
        log.info("worker %s (id %d) is active", worker.name, registered.worker_id)

    def _end_leftovers(self, parts: Parts) -> None:
        """Kill what the previous process left running here, before its rows say that it has ended."""
        scores = {score for score in parts.slots.scores if score is not None}
        site = f"ATTUNE_ARTIFACTS_DIR={self._loaded.settings.artifacts_dir}"
        killed = kill_leftovers(parts.store.mine, site=site, scores=scores)
        if killed:
            log.warning("killed %d processes that jobs of the previous process had left running", killed)

    def _subscribed(self, parts: Parts) -> bool:
        """Wait until the broker delivers to all consumers; False when the end was asked for before."""
        warn_at = time.monotonic() + _SUBSCRIBE_PATIENCE
        while not all(consumer.subscribed for consumer in parts.consumers.values()):
            if self._signals.stop.wait(0.01):
                return False
            if time.monotonic() > warn_at:
                warn_at = time.monotonic() + _SUBSCRIBE_PATIENCE
                log.warning("this worker stays inactive until the broker delivers to it")
        return True

    def is_ready(self) -> bool:
        """Whether the worker is registered and the broker delivers to it now."""
        parts = self._parts
        return parts is not None and self._active and all(c.subscribed for c in parts.consumers.values())

    def is_live(self) -> bool:
        """Whether the service does its work, whatever database and broker do; draining is work, too."""
        return not self._failed.is_set()

    def stop(self) -> None:
        """Drain and leave. The order is the promise:

        busy, so that nobody sends more or takes us for dead; no more deliveries; what is not claimed goes back; what
        runs may finish; the rest is interrupted and killed; every end is written and published; inactive is the last
        write; then the connections go.
        """
        started = time.monotonic()
        base, parts = self._base, self._parts
        if base is None:
            self._health.stop()
            self._reaper.stop()
            return
        try:
            if parts is not None and self._begun:
                reserve = _KILL_RESERVE + _REPORT_RESERVE
                budget = max(0.0, self._loaded.settings.worker.shutdown_timeout - reserve)
                self._drain(base, parts, started + budget)
        finally:
            self._active = False
            self._health.stop()
            self._reaper.stop()
            if parts is not None:
                self._close(parts)
            left = self._threads.join(_JOIN_PATIENCE)
            # Last: whoever takes the name next must not meet a message that is still on its way.
            base.registration.release()
            base.database.close()
        if left:
            log.warning("threads that did not end: %s", ", ".join(left))
        if self._signals.hurry.is_set():
            self.exit_code = self.exit_code or Interrupted.exit_code

    def _drain(self, base: WorkerContext, parts: Parts, finish_by: float) -> None:
        self._active = False  # a heartbeat must not bring `active` back
        self._set_status(base, "busy")
        parts.consumers["executions"].stop()
        parts.consumers["packs"].stop()
        parts.provisioner.stop()
        parts.rescue.stop()
        parts.unclaimed.hand_back(parts.coordinator.drain(_REPORT_RESERVE), registered=not self._name_taken)
        if len(parts.running):
            log.info("draining: %d executions are running", len(parts.running))
        while time.monotonic() < finish_by and not self._signals.hurry.is_set():
            if parts.running.wait_empty(0.1):
                break
        if parts.running.stop_all(Ending.SHUTDOWN):
            parts.running.wait_empty(_KILL_RESERVE + 1.0)
        parts.slots.stop()
        reported = parts.coordinator.settled(_REPORT_RESERVE) and parts.publisher.flush(_REPORT_RESERVE)
        if not reported:
            log.warning(
                "not everything could be reported: the next process with this worker's name will report the rest"
            )
            self.exit_code = self.exit_code or Interrupted.exit_code
        parts.spool.note_unannounced(parts.publisher.oldest)
        parts.unclaimed.delete_queues()
        parts.heartbeat.stop()  # a beat after the last write would outdate it
        self._set_status(base, "inactive", drained=reported)

    def _close(self, parts: Parts) -> None:
        parts.heartbeat.stop()
        for consumer in parts.consumers.values():
            consumer.close()
        parts.coordinator.stop()
        parts.publisher.close()
        parts.unclaimed.close()

    def _set_status(self, base: WorkerContext, status: str, *, drained: bool = False) -> None:
        """Write the status; a database that does not answer must not hold up the drain."""
        written = threading.Event()

        def write() -> None:
            try:
                if drained:
                    base.registration.set_drained()
                else:
                    base.registration.set_status(status)
            except DatabaseError as error:
                log.warning("can't set this worker's status to %s: %s", status, error)
            finally:
                written.set()

        self._threads.start(f"status-{status}", write)
        if not written.wait(_STATUS_PATIENCE):
            log.warning("the database does not answer: continuing without setting the status %s", status)

    def _thread_died(self, name: str, error: BaseException) -> None:
        self._failed.set()
        self.exit_code = error.exit_code if isinstance(error, AgentError) else 70
        self._signals.stop.set()

    def _name_lost(self) -> None:
        self._name_taken = True
        self.exit_code = 1
        self._signals.stop.set()
