"""The sensor service, the same for the injected agent and the full service: the order of its start and of its stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agent.configuration import Loaded
from agent.configuration.roles import as_sensor_service
from agent.errors import AgentError, DatabaseError, Interrupted
from agent.mq import topology
from agent.mq.subscribing import wait_subscribed
from agent.presence.context import WorkerContext, open_context
from agent.presence.health_socket import HealthSocket
from agent.process.guardian import Guardian
from agent.process.hosting import host_jobs
from agent.process.leftovers import kill_marked
from agent.process.open_files import OPEN_FILES
from agent.process.reaper import Reaper
from agent.process.stop_signals import StopSignals
from agent.sensors.assembly import SensorParts, assemble_sensors, beside
from agent.sensors.sensor_variables import MARK
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)

#: Seconds that a child may take beside its grace, and that the threads get together to end.
_KILL_RESERVE, _JOIN_PATIENCE = 8.0, 5.0
_STATUS_PATIENCE = 3.0
_THREADS, _ROOM = 10, 2


def run_sensors(loaded: Loaded, *, agent_mode: bool) -> int:
    """Run until a signal asks for the end; return the exit code.

    Raises:
        AgentError: the service can't start; its ``exit_code`` says why.
    """
    loaded = as_sensor_service(loaded)
    host_jobs(loaded.settings.worker.limits)
    with Guardian() as guardian, StopSignals() as signals:
        service = SensorService(loaded, signals, guardian, agent_mode=agent_mode)
        try:
            service.start()
            signals.stop.wait()
        finally:
            service.stop()
    return service.exit_code


class SensorService:
    """One sensor service from registration to the last write of its row."""

    def __init__(self, loaded: Loaded, signals: StopSignals, guardian: Guardian, *, agent_mode: bool) -> None:
        """Connect to nothing yet; ``loaded`` is what ``as_sensor_service`` returns."""
        self._loaded = loaded
        self._signals = signals
        self._guardian = guardian
        self._agent_mode = agent_mode
        self._threads = ThreadGroup(on_death=self._thread_died)
        self._base: WorkerContext | None = None
        self._parts: SensorParts | None = None
        self._health = HealthSocket(is_live=self.is_live, why_not_ready=self.why_not_ready)
        self._reaper = Reaper()
        self._managed = False
        self._active = False
        self._failed = threading.Event()
        self.exit_code = 0

    def start(self) -> None:
        """Register, declare, correct what an earlier life left, beat, listen, become active, look at what is wanted."""
        worker = self._loaded.settings.worker
        self._threads.start("reaper", self._reaper.run)
        self._threads.start("health", self._health.run)
        base = self._base = open_context(self._loaded, role="sensor", agent_mode=self._agent_mode)
        OPEN_FILES.raise_for(base.slots)
        self._threads.require(_THREADS + base.slots + _ROOM)
        registered = base.registration.register(patience=worker.shutdown_timeout, giving_up=self._signals.stop)
        worker_id = registered.worker_id
        owner = base.owner(worker_id)
        self._guardian.recognise(f"{MARK}={owner}.")
        base.broker.declare((topology.sensors_queue(worker_id),))
        parts = self._parts = assemble_sensors(
            base,
            worker_id,
            self._guardian,
            self._threads,
            restore_active=lambda: self._active,
            on_lost=self._name_lost,
        )
        if killed := kill_marked(f"{MARK}={owner}."):
            log.warning("killed %d processes that sensors of the previous process had left running", killed)
        parts.store.end_stale(registered.previous_heartbeat)
        self._warn_of_strangers(parts)
        parts.transport.start(self._threads)
        self._threads.start("sensor-logs", parts.filing.run)
        self._threads.start("publisher", parts.publisher.run)
        self._threads.start("heartbeat", parts.heartbeat.run)
        self._threads.start("consumer-sensors", parts.consumer.run)
        if not wait_subscribed((parts.consumer,), self._signals.stop, service="service"):
            return
        base.registration.set_status("active")
        self._active = True
        parts.advertiser.tell_beside(beside(parts.manager, self._loaded.settings.sensor.only))
        self._managed = True
        self._threads.start("sensors", parts.manager.run)
        self._threads.start("sensor-locks", parts.manager.guard_locks)
        self._threads.start("versions", parts.checks.run)
        if not self._agent_mode:
            parts.checks.ask()
        log.info("sensor service %s (id %d) is active", worker.name, worker_id)

    def _warn_of_strangers(self, parts: SensorParts) -> None:
        """Say what another make beside us means: it runs every sensor, whoever else does."""
        if not self._loaded.settings.sensor.only and (names := parts.store.strangers()):
            log.warning(
                "the sensor service %s is of another make and runs every sensor as well: name those of this one in"
                " sensor.only and keep the other from them (labels, taints), or stop one of the two",
                ", ".join(names),
            )

    def why_not_ready(self) -> str | None:
        """Return None when the service is registered and hears of changes, else what is missing."""
        if self._signals.stop.is_set():
            return "it stops"
        parts = self._parts
        if parts is None:
            return "it is not registered in the database yet"
        if not parts.consumer.subscribed:
            return "the broker does not deliver to it"
        return None if self._active else "it is not active yet"

    def is_live(self) -> bool:
        """Whether the service does its work, whatever database and broker do; stopping is work, too."""
        return not self._failed.is_set()

    def stop(self) -> None:
        """End all children and leave. The order is the promise:

        busy, so that nobody leaves sensors to us; every child is asked to end, all at once, and killed when it doesn't;
        every row says so before its lock is given back; inactive is the last write; then the connections go.
        """
        deadline = time.monotonic() + self._loaded.settings.worker.shutdown_timeout
        base, parts = self._base, self._parts
        self._active = False
        try:
            if base is not None and parts is not None:
                self._leave(base, parts, deadline)
        finally:
            self._health.stop()
            self._reaper.stop()
            if parts is not None:
                parts.heartbeat.stop()
                parts.checks.stop()
                parts.consumer.close()
                parts.filing.stop()
                parts.transport.stop()
                parts.publisher.close()
            left = self._threads.join(_JOIN_PATIENCE)
            if base is not None:
                base.registration.release()
                base.database.close()
        if left:
            log.warning("threads that did not end: %s", ", ".join(left))
        if self._signals.hurry.is_set():
            self.exit_code = self.exit_code or Interrupted.exit_code
        log.info("stopped", extra={"exit_code": self.exit_code, "hurried": self._signals.hurry.is_set()})

    def _leave(self, base: WorkerContext, parts: SensorParts, deadline: float) -> None:
        log.info("stopping", extra=parts.manager.counts())
        parts.consumer.stop()
        self._beside("busy", lambda: base.registration.set_status("busy"))
        if self._managed:
            parts.manager.stop()
            until = max(deadline, time.monotonic() + _KILL_RESERVE)
            while not parts.manager.wait_empty(0.1):
                if self._signals.hurry.is_set():
                    parts.manager.kill()
                if time.monotonic() > until:
                    log.warning("not every sensor could be ended and recorded")
                    self.exit_code = self.exit_code or Interrupted.exit_code
                    break
        parts.publisher.flush(_STATUS_PATIENCE)
        if not parts.filing.settled(_STATUS_PATIENCE):
            log.warning("not all logs are filed: the next process of this service on this disk will do it")
        if not parts.transport.settled(_STATUS_PATIENCE):
            log.warning("not all logs are at the server: the next process on this machine's disk will send the rest")
        parts.heartbeat.stop()
        self._beside("inactive", base.registration.set_drained)

    def _beside(self, name: str, body: Callable[[], object]) -> None:
        """Run ``body`` in a thread of its own, so that a database that doesn't answer holds nothing up."""

        def write() -> None:
            try:
                body()
            except DatabaseError as error:
                log.warning("can't set this service's status to %s: %s", name, error)

        self._threads.beside(f"stopping-{name}", write, _STATUS_PATIENCE)

    def _thread_died(self, name: str, error: BaseException) -> None:
        self._failed.set()
        self.exit_code = error.exit_code if isinstance(error, AgentError) else 70
        self._signals.stop.set()

    def _name_lost(self) -> None:
        self.exit_code = 1
        self._signals.stop.set()
