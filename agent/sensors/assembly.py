"""Put the parts of a registered sensor service together; here stands which part knows which."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.environments.compiled import CompiledActions
from agent.environments.configured import configured_manager
from agent.execution.inputs.scratch import Scratch, scratch_candidates
from agent.execution.inputs.variables import api_url
from agent.execution.secrets.tokens import weakness
from agent.mq import topology
from agent.mq.broker import Consumer, Publisher
from agent.presence.advertising import Advertiser
from agent.presence.context import WorkerContext
from agent.presence.heartbeat import Heartbeat
from agent.process.guardian import Guardian
from agent.process.job_limits import JobLimits
from agent.process.memory import return_memory
from agent.process.oom_score import OOM_SCORE
from agent.runtimes.selection import VersionSelector
from agent.sensors.child import Child, ChildSite
from agent.sensors.failure_alerts import SensorAlerts
from agent.sensors.lock_session import LockSession
from agent.sensors.log_filing import LogFiling
from agent.sensors.log_store import LogStore
from agent.sensors.log_writing import SensorLogs
from agent.sensors.sensor_manager import SensorManager
from agent.sensors.sensor_messages import SensorHandlers
from agent.sensors.sensor_preparation import SensorPreparer
from agent.sensors.sensor_variables import SensorSite
from agent.sensors.store import SensorStore
from agent.sensors.token_source import Source, asked_of, signed_by
from agent.sensors.version_checks import VersionChecks
from agent.threads import ThreadGroup
from agent.transport.address import server_address
from agent.transport.file_transport import FileTransport, file_transport
from agent.transport.signing_secret import SigningSecret

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SensorParts:
    """The parts that the service starts and stops; ``owner`` begins the mark of all that it starts."""

    store: SensorStore
    manager: SensorManager
    consumer: Consumer
    publisher: Publisher
    heartbeat: Heartbeat
    advertiser: Advertiser
    checks: VersionChecks
    transport: FileTransport
    filing: LogFiling


def assemble_sensors(
    base: WorkerContext,
    worker_id: int,
    guardian: Guardian,
    threads: ThreadGroup,
    *,
    restore_active: Callable[[], bool],
    on_lost: Callable[[], None],
) -> SensorParts:
    """Make all parts for the service with this id; nothing is started."""
    settings = base.loaded.settings
    if (warning := weakness(settings.security.jwt_secret)) is not None:
        log.warning("%s", warning)
    name = settings.worker.name or "sensor"
    transport = file_transport(base.loaded, base.database, base.machine, worker_id)
    transport.files.make_root()
    owner = base.owner(worker_id)
    scratch = Scratch(
        scratch_candidates(settings.worker.scratch_dir, base.machine.env, settings.artifacts_dir), owner=owner
    )
    scratch.sweep()
    store = SensorStore(base.database, worker_id=worker_id, worker_name=name)
    advertiser = Advertiser(base.facts, base.registration.set_capabilities, allowed=base.offered.allowed)
    versions = VersionSelector(
        base.machine,
        reverify_after=settings.worker.reverify_after,
        record=lambda checks: advertiser.record(base.database, checks, worker_id),
    )
    preparer = sensor_preparer(base, store, transport, scratch, versions, worker_id=worker_id)
    keep = settings.artifacts.sensor_log_max_files
    logs = LogStore(base.database, usual_retention=("versions", keep))
    filing = LogFiling(transport.files, logs, transport.uploads, owner=owner)
    limits = settings.worker.limits
    site = ChildSite(
        preparer,
        SensorLogs(transport.files, filing, owner=owner, max_bytes=settings.artifacts.sensor_log_max_bytes, keep=keep),
        guardian,
        JobLimits(limits.memory, limits.open_files, None, limits.processes),
        owner,
    )
    publisher = base.broker.publisher()
    manager = SensorManager(
        store,
        LockSession(base.database),
        lambda sensor, report, score: Child(sensor, site, report, score=score),
        threads,
        me=worker_id,
        only=settings.sensor.only,
        interval=settings.sensor.reconcile_interval,
        token_lifetime=settings.sensor.access_lifetime,
        scores=OOM_SCORE.values(base.slots),
        alert=SensorAlerts(store, publisher, worker_id=worker_id, worker_name=name),
    )
    checks = VersionChecks(base.registry, versions, verify_every=settings.worker.verify_every)
    handlers = SensorHandlers(manager.changed, transport.changed, transport.gone, checks.ask)
    consumer = base.broker.consumer(topology.sensors_subscription(worker_id, handlers.lifecycle))

    def oldest_message() -> int | None:
        return_memory()  # at each beat
        return publisher.oldest

    heartbeat = Heartbeat(
        base.registration,
        interval=settings.worker.heartbeat_interval,
        restore_active=restore_active,
        unannounced=oldest_message,
        note=lambda _unannounced: None,
        on_lost=on_lost,
        beaten=lambda: advertiser.tell_beside(beside(manager, settings.sensor.only)),
    )
    return SensorParts(store, manager, consumer, publisher, heartbeat, advertiser, checks, transport, filing)


def sensor_preparer(
    base: WorkerContext,
    store: SensorStore,
    transport: FileTransport,
    scratch: Scratch,
    versions: VersionSelector,
    *,
    worker_id: int | None,
) -> SensorPreparer:
    """Make what prepares sensors as the settings of ``base`` want it; environments are built as ``worker_id``."""
    settings = base.loaded.settings
    url = api_url(base.loaded.variables.api_url, settings.server.host, settings.server.port)
    return SensorPreparer(
        store,
        site=SensorSite(url, str(settings.artifacts_dir), str(settings.runtime_envs_dir), settings.sensor.mq_url),
        container=base.machine.env,
        tokens=_tokens(base, store, url),
        registry=base.registry,
        versions=versions,
        environments=configured_manager(settings, base.database, base.machine, worker_id=worker_id),
        compiled=CompiledActions(
            settings.runtime_envs_dir, timeout=settings.worker.install_timeout, container=base.machine.env
        ),
        scratch=scratch,
        packs=transport.packs,
    )


def beside(manager: SensorManager, only: tuple[str, ...]) -> dict[str, object]:
    """Return what a sensor service advertises beside what every worker does."""
    return {**manager.counts(), **({"sensor_only": list(only)} if only else {})}


def _tokens(base: WorkerContext, store: SensorStore, url: str) -> Source:
    settings = base.loaded.settings
    lifetime = settings.sensor.access_lifetime
    if settings.security.jwt_secret is None and settings.agent.bootstrap_token:
        address = server_address(url, settings.network, base.machine.env)
        return asked_of(address, settings.agent.bootstrap_token, lifetime=lifetime)
    return signed_by(SigningSecret(base.database, settings.security.jwt_secret), store.identity, lifetime=lifetime)
