"""What a worker stands on before it has a row: connections, this machine's interpreters, the runtimes it offers."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent import __version__
from agent.configuration import Loaded
from agent.db.pool import Database
from agent.db.pooling import refuse_shared_sessions
from agent.errors import DatabaseError, DatabaseUnavailable
from agent.mq.broker import Broker
from agent.mq.connect import open_broker
from agent.presence.identity import Identity
from agent.presence.labels import read_labels
from agent.presence.limits import Limits, read_limits, slots_for
from agent.presence.registration import Registration
from agent.runtimes.advertised import detected_versions
from agent.runtimes.auto_runtimes import register_detected
from agent.runtimes.capabilities import WorkerFacts, build_capabilities
from agent.runtimes.detected import Detection
from agent.runtimes.detection import detect_interpreters
from agent.runtimes.machine import Machine
from agent.runtimes.names import ALIASES, language_of
from agent.runtimes.offered import OfferedRuntimes, Role, RuntimeDetector
from agent.runtimes.registry import RuntimeRegistry
from agent.runtimes.store import load_runtimes
from agent.runtimes.verification import verify_runtimes
from agent.runtimes.version_rows import register_versions
from agent.settings import WorkerSettings

log = logging.getLogger(__name__)

#: The program of each role: of a full worker, and of an agent.
_PROGRAMS: Mapping[Role, tuple[str, str]] = {
    "worker": ("attune-worker", "attune-agent"),
    "sensor": ("attune-sensor", "attune-sensor-agent"),
}


@dataclass(frozen=True)
class WorkerContext:
    """Made once per process, before registration."""

    loaded: Loaded
    database: Database
    broker: Broker
    machine: Machine
    registry: RuntimeRegistry
    offered: OfferedRuntimes
    facts: WorkerFacts
    registration: Registration
    slots: int

    def owner(self, worker_id: int) -> str:
        """Name this worker's files and jobs apart from those of workers of other deployments with the same id."""
        deployment = hashlib.sha256(f"{self.database.address.label} {self.database.address.schema}".encode())
        return f"{deployment.hexdigest()[:8]}-{worker_id}"


def open_context(loaded: Loaded, *, role: Role = "worker", agent_mode: bool) -> WorkerContext:
    """Detect, connect, register what was detected, and decide what is offered.

    Of a sensor service ``loaded`` is what ``as_sensor_service`` returns.

    Raises:
        ConfigurationError: no broker is configured, a URL is malformed, or a pooler shares the database's sessions.
        DatabaseUnavailable: the database can't be reached.
    """
    settings = loaded.settings
    name = settings.worker.name or role
    program = _PROGRAMS[role][agent_mode]
    broker = open_broker(settings, name=f"{program} {name}")
    database = Database(settings.database, application_name=f"{program} {name}")
    refuse_shared_sessions(database)
    log.info("connected to PostgreSQL at %s", database.address.label)
    override = loaded.variables.sensor_runtimes if role == "sensor" else loaded.variables.worker_runtimes
    detector = RuntimeDetector(role, override=override, capabilities=settings.worker.capabilities)
    detection = detect_interpreters(
        timeout=settings.worker.probe_timeout,
        families=detector.families(),
        search_paths=settings.runtimes.search_paths,
    )
    for item in detection.unusable:
        log.warning("not an interpreter: %s (%s): %s", item.path, item.name, item.problem)
    machine = Machine.of(detection, timeout=settings.worker.verify_timeout)
    _register(database, detection, loaded, runtimes=agent_mode)
    if agent_mode:
        offered = detector.from_detection(detection.first, _described(database, machine))
    else:
        offered = detector.from_database(lambda: load_runtimes(database).runtimes, machine)
    registry = RuntimeRegistry(lambda: load_runtimes(database), machine, allowed=offered.allowed)
    registry.refresh()
    limits = read_limits()
    slots = _slots(settings.worker.max_concurrent_tasks, limits)
    facts = WorkerFacts(
        worker_version=__version__,
        max_concurrent_executions=slots,
        role=role,
        runtimes=offered.runtimes,
        agent_mode=agent_mode,
        agent_binary_name=program if agent_mode else None,
        agent_binary_version=__version__ if agent_mode else None,
        labels=_labels(settings.worker),
        taints=settings.worker.taints,
        detected=detection.found if agent_mode else (),
        runtime_versions=detected_versions(detection.found) if agent_mode else {},
        limits=limits.as_capability(),
        ephemeral_interval=settings.worker.heartbeat_interval if settings.worker.ephemeral else None,
        extra=settings.worker.capabilities,
    )
    capabilities, warnings = build_capabilities(facts)
    for warning in warnings:
        log.warning("%s", warning)
    registration = Registration(database, Identity.of(settings.worker, role, capabilities))
    return WorkerContext(loaded, database, broker, machine, registry, offered, facts, registration, slots)


def _slots(configured: int | Literal["auto"], limits: Limits) -> int:
    if configured != "auto":
        return configured
    slots = slots_for(limits, len(os.sched_getaffinity(0)))
    log.info("running up to %d executions at the same time: %s", slots, limits)
    return slots


def _labels(worker: WorkerSettings) -> Mapping[str, str]:
    """What the platform says about this worker, and over it what the configuration says."""
    if worker.labels_file is None:
        return worker.labels
    labels, warnings = read_labels(worker.labels_file)
    for warning in warnings:
        log.warning("%s", warning)
    return {**labels, **worker.labels}


def _register(database: Database, detection: Detection, loaded: Loaded, *, runtimes: bool) -> None:
    try:
        if runtimes:
            register_detected(database, detection.first, packs_base_dir=loaded.settings.packs_base_dir)
        register_versions(database, detection.found)
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        log.warning("detected interpreters could not be registered: %s", error)


def _described(database: Database, machine: Machine) -> list[str]:
    """The languages that nothing but a pack's file describes (a ninth, say), where this machine has them."""
    try:
        stored = load_runtimes(database).runtimes
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        log.warning("described runtimes are not offered: %s", error)
        return []
    rows = [row for row in stored if language_of(row.name, row.ref) not in ALIASES]
    return [row.name for row, check in zip(rows, verify_runtimes(rows, machine), strict=True) if check.available]
