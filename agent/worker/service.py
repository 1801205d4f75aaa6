"""The worker service, the same for the injected agent and the full worker: the order of its start and of its stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import Enum

from agent.configuration import Loaded
from agent.counters import COUNTERS
from agent.errors import AgentError, DatabaseError, Interrupted
from agent.mq import topology
from agent.mq.subscribing import wait_subscribed
from agent.presence.context import WorkerContext, open_context
from agent.presence.health_socket import HealthSocket
from agent.process.hosting import host_jobs
from agent.process.leftovers import kill_leftovers
from agent.process.open_files import OPEN_FILES
from agent.process.reaper import Reaper
from agent.process.request import Ending
from agent.process.stop_signals import StopSignals
from agent.threads import ThreadGroup
from agent.worker.assembly import Parts, assemble
from agent.worker.metrics import exposition
from agent.worker.metrics_server import MetricsServer
from agent.worker.reconciliation import reconcile

log = logging.getLogger(__name__)

#: Seconds of the shutdown time that are kept to interrupt, kill and report what did not end by itself
#: (promise: drain before exit).
_KILL_RESERVE, _REPORT_RESERVE = 5.0, 3.0
#: Seconds that a write of the status may hold up the drain.
_STATUS_PATIENCE = 3.0
#: Seconds that the threads get together to end once nothing is left to do.
_JOIN_PATIENCE = 5.0
#: The threads of a worker beside its slots and those that run already; what it needs beside them: one that looks a host
#: name up or ends something, and one process of a job.
_THREADS, _ROOM = 10, 2
#: Seconds that each step of the drain gets, however late it is.
_MOMENT = 0.2


class StartupMode(Enum):
    """How a worker starts: a full worker prepares everything, an agent only what an execution asks for."""

    WORKER = "worker"
    AGENT = "agent"


def run_worker(loaded: Loaded, *, mode: StartupMode) -> int:
    """Run until a signal asks for the end; return the exit code.

    Raises:
        AgentError: the worker can't start; its ``exit_code`` says why.
    """
    host_jobs(loaded.settings.worker.limits)
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
        self._health = HealthSocket(is_live=self.is_live, why_not_ready=self.why_not_ready)
        self._metrics: MetricsServer | None = None
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
        self._threads.require(_THREADS + base.slots + _ROOM)
        registered = base.registration.register(patience=worker.shutdown_timeout, giving_up=self._signals.stop)
        base.broker.declare(topology.worker_queues(registered.worker_id))
        parts = assemble(base, registered.worker_id, restore_active=lambda: self._active, on_lost=self._name_lost)
        self._parts = parts
        if worker.metrics_address is not None:
            gauges = self._gauges(parts)
            self._metrics = MetricsServer(worker.metrics_address, lambda: exposition(COUNTERS, gauges))
            self._threads.start("metrics", self._metrics.run)
        self._threads.start("publisher", parts.publisher.run)
        self._end_leftovers(parts)
        parts.transport.start(self._threads)
        reconcile(
            parts.store,
            parts.publisher,
            parts.spool,
            previous_heartbeat=registered.previous_heartbeat,
            unannounced=registered.unannounced,
            interval=worker.heartbeat_interval,
            left_logs=parts.runner.left_logs,
        )
        self._begun = True
        self._threads.start("heartbeat", parts.heartbeat.run)
        self._threads.start("coordinator", parts.coordinator.run)
        self._threads.start("spooler", parts.coordinator.keep_old)
        parts.slots.start(self._threads)
        for name, consumer in parts.consumers.items():
            self._threads.start(f"consumer-{name}", consumer.run)
        if not wait_subscribed(parts.consumers.values(), self._signals.stop, service="worker"):
            return
        base.registration.set_status("active", unannounced=parts.publisher.oldest)
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

    def why_not_ready(self) -> str | None:
        """Return None when the worker is registered and the broker delivers to it now, else what is missing."""
        if self._signals.stop.is_set():
            return "it stops"
        parts = self._parts
        if parts is None:
            return "it is not registered in the database yet"
        silent = [name for name, consumer in parts.consumers.items() if not consumer.subscribed]
        if silent:
            return f"the broker does not deliver {', '.join(silent)}"
        return None if self._active else "it is not active yet"

    def _gauges(self, parts: Parts) -> dict[str, Callable[[], int]]:
        return {
            "attune_worker_slots": lambda: parts.slots.count,
            "attune_worker_transport_waiting_bytes": lambda: parts.transport.waiting,
            "attune_worker_executions_running": lambda: len(parts.running),
            "attune_worker_spooled_reports": lambda: len(parts.spool),
            "attune_worker_ready": lambda: int(self.why_not_ready() is None),
        }

    def is_live(self) -> bool:
        """Whether the service does its work, whatever database and broker do; draining is work, too."""
        return not self._failed.is_set()

    def stop(self) -> None:
        """Drain and leave. The order is the promise:

        busy, so that nobody sends more or takes us for dead; no more deliveries; what is not claimed goes back; what
        runs may finish; the rest is interrupted and killed; every end is written and published; inactive is the last
        write; then the connections go.
        """
        deadline = time.monotonic() + self._loaded.settings.worker.shutdown_timeout
        base, parts = self._base, self._parts
        if base is None:
            self._health.stop()
            self._reaper.stop()
            return
        try:
            if parts is not None and self._begun:
                self._drain(base, parts, deadline)
        finally:
            self._active = False
            self._health.stop()
            self._reaper.stop()
            if self._metrics is not None:
                self._metrics.stop()
            if parts is not None:
                self._close(parts)
            left = self._threads.join(_until(deadline, at_most=_JOIN_PATIENCE))
            # Last: whoever takes the name next must not meet a message that is still on its way.
            base.registration.release(max(_MOMENT, _until(deadline, at_most=_JOIN_PATIENCE)))
            base.database.close()
        log.info("stopped", extra={"exit_code": self.exit_code, "hurried": self._signals.hurry.is_set()})
        if left:
            log.warning("threads that did not end: %s", ", ".join(left))
        if self._signals.hurry.is_set():
            self.exit_code = self.exit_code or Interrupted.exit_code

    def _drain(self, base: WorkerContext, parts: Parts, deadline: float) -> None:
        """Do all that ``stop`` promises but the closing, whatever answers or doesn't, until ``deadline``."""
        finish_by = deadline - _KILL_RESERVE - _REPORT_RESERVE
        log.info("stopping: no more executions are taken", extra={"running": len(parts.running)})
        self._active = False  # a heartbeat must not bring `active` back
        parts.consumers["executions"].stop()
        parts.consumers["packs"].stop()
        parts.provisioner.stop()
        parts.rescue.stop()
        self._set_status(base, "busy", until=finish_by)
        self._hand_back(parts, finish_by)
        if len(parts.running):
            log.info("draining: %d executions are running", len(parts.running))
        while time.monotonic() < finish_by and not self._signals.hurry.is_set():
            if parts.running.wait_empty(0.1):
                break
        if parts.running.stop_all(Ending.SHUTDOWN):
            parts.running.wait_empty(_until(deadline, at_most=_KILL_RESERVE + 1.0))
        ended = not len(parts.running)  # one that a slot still holds has no report that anybody could wait for
        log.info("drained" if ended else "not everything could be ended", extra={"running": len(parts.running)})
        parts.slots.stop()
        reported = parts.coordinator.settled(_until(deadline, at_most=_REPORT_RESERVE)) and ended
        reported = parts.publisher.flush(_until(deadline, at_most=_REPORT_RESERVE)) and reported
        if not parts.transport.settled(_until(deadline, at_most=_REPORT_RESERVE)):
            log.warning("not all logs are at the server: the next process on this machine's disk will send the rest")
        if not reported:
            log.warning(
                "not everything could be reported: the next process with this worker's name will report the rest"
            )
            self.exit_code = self.exit_code or Interrupted.exit_code
        # Nothing is left to cancel, and a consumer that loses its queue declares it again.
        parts.consumers["cancel"].stop()
        self._beside("queues", parts.unclaimed.delete_queues, until=deadline)
        parts.heartbeat.stop()  # a beat after the last write would outdate it
        unannounced = parts.publisher.oldest
        if not self._set_status(base, "inactive", until=deadline, drained=reported, unannounced=unannounced):
            parts.spool.note_unannounced(unannounced)

    def _hand_back(self, parts: Parts, until: float) -> None:
        """Give back what is not claimed; what can't be given back now stays where the next life finds it."""

        def hand_back() -> None:
            deliveries = parts.coordinator.drain(_REPORT_RESERVE)
            parts.unclaimed.hand_back(deliveries, registered=not self._name_taken)

        self._beside("hand-back", hand_back, until=until)

    def _close(self, parts: Parts) -> None:
        parts.heartbeat.stop()
        for consumer in parts.consumers.values():
            consumer.close()
        parts.coordinator.stop()
        parts.transport.stop()
        parts.publisher.close()
        parts.unclaimed.close()

    def _set_status(
        self,
        base: WorkerContext,
        status: str,
        *,
        until: float,
        drained: bool = False,
        unannounced: int | None = None,
    ) -> bool:
        """Write the status; whether it was written before a database that does not answer held up the drain."""
        written = threading.Event()

        def write() -> None:
            try:
                if drained:
                    base.registration.set_drained()
                else:
                    base.registration.set_status(status, unannounced=unannounced)
                written.set()
            except DatabaseError as error:
                log.warning("can't set this worker's status to %s: %s", status, error)

        if not self._beside(status, write, until=until):
            log.warning("the database does not answer: continuing without setting the status %s", status)
        return written.is_set()

    def _beside(self, name: str, body: Callable[[], object], *, until: float) -> bool:
        """Run ``body`` in a thread of its own, so that nobody who doesn't answer holds up the drain; whether it ended.

        However little time is left, it gets a moment.
        """
        return self._threads.beside(f"stopping-{name}", body, max(_MOMENT, _until(until, at_most=_STATUS_PATIENCE)))

    def _thread_died(self, name: str, error: BaseException) -> None:
        self._failed.set()
        self.exit_code = error.exit_code if isinstance(error, AgentError) else 70
        self._signals.stop.set()

    def _name_lost(self) -> None:
        self._name_taken = True
        self.exit_code = 1
        self._signals.stop.set()


def _until(deadline: float, *, at_most: float) -> float:
    """Return the seconds that are left, no more than ``at_most``."""
    return max(0.0, min(at_most, deadline - time.monotonic()))
