"""From a sensor to a process: token, runtime, version, environment, program, variables."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from agent.environments.compiled import CompiledActions
from agent.environments.manager import EnvironmentManager
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from agent.errors import InvalidExecution
from agent.execution.inputs.entrypoint import script_trouble
from agent.execution.inputs.scratch import Scratch
from agent.execution.pack_files import PackFiles
from agent.packs.sensor_fields import is_builtin
from agent.process.cancellation import CancellationToken
from agent.runtimes.registry import RuntimeRegistry
from agent.runtimes.selection import SelectedVersion, VersionSelector
from agent.sensors.model import Sensor
from agent.sensors.program import own_program
from agent.sensors.sensor_variables import LONGEST, SensorSite, sensor_variables
from agent.sensors.store import SensorStore
from agent.sensors.token_source import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedSensor:
    """Everything the process runner needs; ``sensor`` is as the child was told of it.

    ``files`` are removed and ``pack_dir`` is given back when it has ended. ``token`` must not show.
    """

    sensor: Sensor
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None
    token: str
    files: tuple[str, ...]
    pack_dir: str | None
    runtime: str


class SensorPreparer:
    """Shared by all sensors of a service."""

    def __init__(
        self,
        store: SensorStore,
        *,
        site: SensorSite,
        container: Mapping[str, str],
        tokens: Source,
        registry: RuntimeRegistry,
        versions: VersionSelector,
        environments: EnvironmentManager,
        compiled: CompiledActions,
        scratch: Scratch,
        packs: PackFiles,
    ) -> None:
        """``container`` is the image's environment; all else is what a worker prepares executions with."""
        self._store = store
        self._site = site
        self._container = container
        self._tokens = tokens
        self._registry = registry
        self._versions = versions
        self._environments = environments
        self._compiled = compiled
        self._scratch = scratch
        self._packs = packs

    def prepare(
        self, sensor_id: int, mark: str, stop: CancellationToken, progress: Callable[[str], None]
    ) -> PreparedSensor | None:
        """Prepare one sensor; None when nobody needs it any longer. ``progress`` is told of what takes long.

        Raises:
            InvalidExecution: it can't run here as it is (UnmetConstraint is a kind of it).
            EnvironmentFailed: its isolated environment or its pack's files can't be had.
            ServerError: no token is to be had.
            DatabaseError: the database is away.
        """
        sensor = self._store.with_instances(sensor_id)
        if sensor is None:
            return None
        absent = self._store.absent_since(sensor.id)
        token = self._tokens(sensor.ref, sensor.triggers)
        usable = self._registry.resolve(sensor.runtime)
        pack_dir: str | None = None
        files: list[str] = []
        try:
            if is_builtin(usable.runtime.ref):
                argv, environment, runtime = self._own(sensor), None, "builtin"
            else:
                selected = self._versions.select(usable, sensor.constraint)
                stamp = f"{sensor.stamp} {sensor.pack_stamp}"
                pack_dir = self._packs.of(sensor, stamp, ended=lambda: stop.cause is not None, progress=progress)
                request = EnvironmentRequest.of(
                    (sensor.pack, sensor.pack_ref), Path(pack_dir), usable, selected, stop=stop, progress=progress
                )
                environment = self._environments.ensure_needed(request)
                compiled = partial(self._compiled.command, request, environment)
                argv = self._command(sensor, pack_dir, selected, environment, compiled)
                runtime = " ".join(filter(None, (usable.name, selected.actual or selected.version)))
            env = self._variables(sensor, environment, token, mark, absent, files)
        except BaseException:
            self._give_back(files, pack_dir)
            raise
        cwd = pack_dir if pack_dir is not None and os.path.isdir(pack_dir) else None
        return PreparedSensor(sensor, argv, env, cwd, token, tuple(files), pack_dir, runtime)

    def done(self, prepared: PreparedSensor) -> None:
        """Give back what the process needed while it ran."""
        self._give_back(prepared.files, prepared.pack_dir)

    def _give_back(self, files: list[str] | tuple[str, ...], pack_dir: str | None) -> None:
        for path in files:
            with suppress(OSError):
                os.unlink(path)
        if pack_dir is not None:
            self._packs.release(pack_dir)

    def _own(self, sensor: Sensor) -> tuple[str, ...]:
        argv = own_program(sensor.entrypoint)
        if argv is None:
            raise InvalidExecution(f"the entry point {sensor.entrypoint[:100]!r} of {sensor.ref} is no program of ours")
        return argv

    def _command(
        self,
        sensor: Sensor,
        pack_dir: str,
        selected: SelectedVersion,
        environment: PreparedEnvironment | None,
        compiled: Callable[[str], tuple[str, ...] | None],
    ) -> tuple[str, ...]:
        trouble = script_trouble(pack_dir, "sensors", sensor.entrypoint)
        path = os.path.join(pack_dir, "sensors", sensor.entrypoint)
        if trouble is not None:
            raise InvalidExecution(
                f"the entry point {sensor.entrypoint[:100]!r} of {sensor.ref} {trouble}",
                hint=f"looked for {path}"[:300],
            )
        interpreter = selected.config.interpreter
        binary = interpreter.binary if environment is None else environment.interpreter
        if not binary:
            if not os.access(path, os.X_OK):
                raise InvalidExecution(
                    f"{sensor.ref} has no interpreter and its file is not executable",
                    hint=f"chmod +x {path}, or give the sensor a runner_type"[:300],
                )
            return (path,)
        more = () if environment is None else environment.arguments
        return compiled(path) or (binary, *more, *interpreter.args, path)

    def _variables(
        self,
        sensor: Sensor,
        environment: PreparedEnvironment | None,
        token: str,
        mark: str,
        absent: datetime | None,
        files: list[str],
    ) -> dict[str, str]:
        instances = (sensor.instances or "[]").encode()
        if len(instances) > LONGEST:
            files.append(self._scratch.write(instances, suffix=".json"))
        unset = frozenset() if environment is None else environment.unset
        return sensor_variables(
            {name: value for name, value in self._container.items() if name not in unset},
            self._site,
            sensor,
            {} if environment is None else environment.env_vars,
            token=token,
            mark=mark,
            absent_since=absent,
            instances_file=files[0] if files else None,
        )
