"""Put the parts of a registered worker together; here stands which part knows which."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.environments.compiled import CompiledActions
from agent.environments.configured import configured_manager
from agent.execution.action_runner import ActionRunner, RunnerSettings
from agent.execution.arrivals import Arrivals
from agent.execution.inputs.scratch import Scratch, scratch_candidates
from agent.execution.inputs.variables import Site, api_url
from agent.execution.preparation import Preparer, PreparerSettings
from agent.execution.recording.coordinator import Coordinator
from agent.execution.recording.spool import Spool
from agent.execution.recording.store import ExecutionStore
from agent.execution.running import RunningExecutions
from agent.execution.secrets.tokens import weakness
from agent.mq import topology
from agent.mq.broker import Consumer, Publisher
from agent.presence.advertising import Advertiser
from agent.presence.context import WorkerContext
from agent.presence.heartbeat import Heartbeat
from agent.presence.stale import StaleWorkers
from agent.process.job_limits import JobLimits
from agent.process.memory import return_memory
from agent.process.oom_score import OOM_SCORE
from agent.runtimes.selection import VersionSelector
from agent.transport.file_transport import FileTransport, file_transport
from agent.transport.signing_secret import SigningSecret
from agent.worker.handlers import Handlers
from agent.worker.needs import EnvironmentNeeds
from agent.worker.provisioning import Provisioner
from agent.worker.rescue import Rescue
from agent.worker.slots import Slots
from agent.worker.unclaimed_dispatches import UnclaimedDispatches

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The parts that the service starts and stops."""

    store: ExecutionStore
    coordinator: Coordinator
    slots: Slots
    runner: ActionRunner
    running: RunningExecutions
    spool: Spool
    publisher: Publisher
    consumers: Mapping[str, Consumer]
    heartbeat: Heartbeat
    provisioner: Provisioner
    unclaimed: UnclaimedDispatches
    rescue: Rescue
    transport: FileTransport


def assemble(
    base: WorkerContext, worker_id: int, *, restore_active: Callable[[], bool], on_lost: Callable[[], None]
) -> Parts:
    """Make all parts for the worker with this id; nothing is started."""
    settings = base.loaded.settings
    if (warning := weakness(settings.security.jwt_secret)) is not None:
        log.warning("%s", warning)
    transport = file_transport(base.loaded, base.database, base.machine, worker_id)
    files = transport.files
    candidates = scratch_candidates(settings.worker.scratch_dir, base.machine.env, settings.artifacts_dir)
    owner = base.owner(worker_id)
    scratch = Scratch(candidates, owner=owner)
    files.make_root()  # the spool must be where the next process looks for it
    writable = Scratch([str(settings.artifacts_dir), *candidates], owner=owner).first_writable()
    spool = Spool(None if writable is None else writable / f".attune-spool-{owner}")
    # The lock is ours, so no other process of this worker lives: what has its name is left over.
    scratch.sweep()
    running = RunningExecutions()
    store = ExecutionStore(base.database, worker_id=worker_id, files=files)
    publisher = base.broker.publisher()
    advertiser = Advertiser(base.facts, base.registration.set_capabilities, allowed=base.offered.allowed)
    versions = VersionSelector(
        base.machine,
        reverify_after=settings.worker.reverify_after,
        record=lambda checks: advertiser.record(base.database, checks, worker_id),
    )
    environments = configured_manager(settings, base.database, base.machine, worker_id=worker_id)
    compiled = CompiledActions(
        settings.runtime_envs_dir, timeout=settings.worker.install_timeout, container=base.machine.env
    )
    preparer = Preparer(
        _preparer_settings(base),
        registry=base.registry,
        versions=versions,
        environments=environments,
        compiled=compiled,
        scratch=scratch,
        packs=transport.packs,
    )
    runner = ActionRunner(preparer, files, _runner_settings(base))
    # Coordinator and slots know each other; consumers come last and are looked up late.
    consumers: dict[str, Consumer] = {}
    arrivals = Arrivals()
    coordinator = Coordinator(
        store,
        slots=base.slots,
        running=running,
        publisher=publisher,
        acknowledge=lambda deliveries: consumers["executions"].settle(deliveries),
        assign=lambda assignment: slots.assign(assignment),
        spool=spool,
    )
    slots = Slots(
        OOM_SCORE.values(base.slots), runner=runner, running=running, report=coordinator.report, arrivals=arrivals
    )
    stopping = threading.Event()
    provisioner = Provisioner(
        base.registry,
        versions,
        environments,
        EnvironmentNeeds(
            base.database,
            base.registry,
            versions,
            directory_of=transport.directory_of(stopping.is_set),
            cancelled=stopping.is_set,
        ),
        stopping,
        changed=transport.changed,
        gone=transport.gone,
        verify_every=settings.worker.verify_every,
    )
    environments.on_use = provisioner.used
    handlers = Handlers(coordinator, running, provisioner.pack_event, arrivals)
    for name, subscription in (
        ("executions", topology.executions_subscription(worker_id, slots.count, handlers.dispatch)),
        ("packs", topology.packs_subscription(worker_id, handlers.pack_event)),
        ("cancel", topology.cancel_subscription(worker_id, handlers.cancel)),
    ):
        consumers[name] = base.broker.consumer(subscription)

    def oldest_message() -> int | None:
        return_memory()  # at each beat
        return publisher.oldest

    heartbeat = Heartbeat(
        base.registration,
        interval=settings.worker.heartbeat_interval,
        restore_active=restore_active,
        unannounced=oldest_message,
        note=spool.note_unannounced,
        on_lost=on_lost,
    )
    unclaimed = UnclaimedDispatches(
        ExecutionStore(base.database, worker_id=worker_id, files=files, statement_timeout=5.0),
        base.broker,
        publisher,
        worker_id=worker_id,
        ephemeral=settings.worker.ephemeral,
    )
    rescue = Rescue(
        StaleWorkers(base.database, worker_id),
        lambda gone: ExecutionStore(base.database, worker_id=gone, files=files, statement_timeout=5.0),
        base.broker,
        publisher,
        interval=settings.worker.heartbeat_interval,
    )
    return Parts(
        store=store,
        coordinator=coordinator,
        slots=slots,
        runner=runner,
        running=running,
        spool=spool,
        publisher=publisher,
        consumers=consumers,
        heartbeat=heartbeat,
        provisioner=provisioner,
        unclaimed=unclaimed,
        rescue=rescue,
        transport=transport,
    )


def _preparer_settings(base: WorkerContext) -> PreparerSettings:
    settings = base.loaded.settings
    url = api_url(base.loaded.variables.api_url, settings.server.host, settings.server.port)
    return PreparerSettings(
        site=Site(
            url, str(settings.artifacts_dir), str(settings.runtime_envs_dir), frozenset(settings.worker.allow_env_vars)
        ),
        container=base.machine.env,
        default_timeout=settings.worker.task_timeout,
        max_parameter_bytes=settings.worker.max_parameter_bytes,
        decryption_keys=settings.security.decryption_keys,
        jwt_secret=SigningSecret(base.database, settings.security.jwt_secret),
    )


def _runner_settings(base: WorkerContext) -> RunnerSettings:
    worker = base.loaded.settings.worker
    return RunnerSettings(
        max_stdout_bytes=worker.max_stdout_bytes,
        max_stderr_bytes=worker.max_stderr_bytes,
        log_policy=worker.execution_log_retention_policy,
        log_limit=worker.execution_log_retention_limit,
        encryption_key=base.loaded.settings.security.encryption_key,
        job_limits=JobLimits(
            worker.limits.memory, worker.limits.open_files, worker.limits.cpu_seconds, worker.limits.processes
        ),
    )
