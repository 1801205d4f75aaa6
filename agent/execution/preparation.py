"""From a claimed execution to a process: secrets, parameters, runtime, version, environment, command, variables."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from agent.environments.compiled import CompiledActions
from agent.environments.manager import EnvironmentManager
from agent.environments.model import EnvironmentRequest, PreparedEnvironment, silent
from agent.errors import DatabaseError, InvalidExecution
from agent.execution.inputs.entrypoint import Inline, Script, resolve_entrypoint
from agent.execution.inputs.inline import plan_inline
from agent.execution.inputs.parameters import merge_parameters, serialise
from agent.execution.inputs.scratch import Scratch
from agent.execution.inputs.variables import Site, build_environment
from agent.execution.model import Action, Claim, Execution, effective_timeout
from agent.execution.pack_files import PackFiles
from agent.execution.secrets.resolving import ResolvedSecrets, resolve_secrets
from agent.execution.secrets.tokens import database_time, execution_token
from agent.process.cancellation import CancellationToken
from agent.runtimes.registry import RuntimeRegistry, UsableRuntime
from agent.runtimes.selection import SelectedVersion, VersionSelector

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preparation:
    """Everything the process runner needs; ``temporary_files`` are removed when the process has ended.

    ``confidential`` is what this execution was given beside its secrets and must not show either. ``runtime`` is the
    name and version of what runs it; ``pack_dir`` is to be given back when it has ended.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None
    stdin: bytes
    timeout: float | None
    temporary_files: tuple[str, ...]
    confidential: tuple[str, ...] = ()
    runtime: str | None = None
    pack_dir: str | None = None


@dataclass(frozen=True)
class PreparerSettings:
    """What preparing depends on beside the execution; sizes in bytes, times in seconds."""

    site: Site
    container: Mapping[str, str]
    default_timeout: float
    max_parameter_bytes: int
    decryption_keys: tuple[str, ...]
    jwt_secret: Callable[[], str | None]


class Preparer:
    """Shared by all slots."""

    def __init__(
        self,
        settings: PreparerSettings,
        *,
        registry: RuntimeRegistry,
        versions: VersionSelector,
        environments: EnvironmentManager,
        compiled: CompiledActions,
        scratch: Scratch,
        packs: PackFiles,
    ) -> None:
        """Resolve runtimes in ``registry``, their versions with ``versions``, build with ``environments``."""
        self._settings = settings
        self._registry = registry
        self._versions = versions
        self._environments = environments
        self._compiled = compiled
        self._scratch = scratch
        self._packs = packs
        self._stamps: dict[int, str] = {}

    def secrets(self, claim: Claim, action: Action) -> ResolvedSecrets:
        """Decrypt what one execution gets: first of all, so that whatever goes wrong later can be masked.

        Raises:
            SecretUnavailable: one that it needs can't be had.
        """
        execution = claim.execution
        secrets = resolve_secrets(action, execution.config, claim.keys, claim.cut_out, self._settings.decryption_keys)
        for warning in secrets.warnings:
            log.warning("execution %d: %s", execution.id, warning)
        return secrets

    def prepare(
        self,
        claim: Claim,
        action: Action,
        secrets: ResolvedSecrets,
        stop: CancellationToken,
        progress: Callable[[str], None] = silent,
        *,
        traceparent: str | None = None,
    ) -> Preparation:
        """Prepare one execution; ``progress`` is told of what takes long, ``traceparent`` is the trace it belongs to.

        Raises:
            InvalidExecution: it can't be run as it is (UnmetConstraint is a kind of it).
            EnvironmentFailed: the isolated environment it needs can't be had.
            DatabaseError: a runtime that isn't known here could not be looked up.
        """
        begun = time.monotonic()
        parameters = merge_parameters(secrets.config, action.param_schema, secrets.parameters)
        document = serialise(parameters, action.parameter_format, self._settings.max_parameter_bytes)
        usable = self._runtime(claim, action)
        selected = self._versions.select(usable, action.runtime_version_constraint)
        pack_dir = self._packs.of(action, claim.stamp, ended=lambda: stop.cause is not None, progress=progress)
        try:
            request = _request(action, usable, selected, pack_dir, stop, progress)
            environment = self._environments.ensure_needed(request)
            command = _Command(self._scratch, partial(self._compiled.command, request, environment))
            try:
                command.build(action, usable, selected, environment, pack_dir, parameters, document)
                issued = database_time(claim.execution, begun)
                env = self._variables(claim.execution, action, environment, command.parameter_file, traceparent, issued)
            except BaseException:
                command.discard()
                raise
        except BaseException:
            self._packs.release(pack_dir)
            raise
        return Preparation(
            argv=command.argv,
            env=env,
            cwd=pack_dir if command.runs_a_file or os.path.isdir(pack_dir) else None,
            stdin=command.stdin,
            timeout=effective_timeout(claim.execution, action, self._settings.default_timeout),
            temporary_files=tuple(command.files),
            confidential=tuple(env[name] for name in ("ATTUNE_API_TOKEN",) if name in env),
            runtime=" ".join(filter(None, (usable.name, selected.actual or selected.version))),
            pack_dir=pack_dir,
        )

    def done(self, preparation: Preparation) -> None:
        """Give back what the process needed while it ran."""
        for path in preparation.temporary_files:
            with suppress(OSError):
                os.unlink(path)
        if preparation.pack_dir is not None:
            self._packs.release(preparation.pack_dir)

    def _runtime(self, claim: Claim, action: Action) -> UsableRuntime:
        if action.runtime is None:
            found = self._registry.for_file(action.entrypoint)
            if found is None:
                raise InvalidExecution(
                    f"{action.ref} has no runtime, and no runtime runs files like {action.entrypoint[:100]!r}",
                    hint="give the action a runner_type",
                )
            return found
        # Rows change rarely, and then their stamp does: until then nothing is read again.
        if self._stamps.get(action.runtime) != claim.runtime_stamp:
            try:
                self._registry.refresh()
                self._stamps[action.runtime] = claim.runtime_stamp
            except DatabaseError as error:
                # What is known may be a moment old; failing the execution for an outage would be worse.
                if self._registry.find(action.runtime) is None:
                    raise
                log.warning("runtimes can't be reloaded: %s", error)
        return self._registry.resolve(action.runtime)

    def _variables(
        self,
        execution: Execution,
        action: Action,
        environment: PreparedEnvironment | None,
        parameter_file: str | None,
        traceparent: str | None,
        issued: float,
    ) -> dict[str, str]:
        env_vars = {} if environment is None else environment.env_vars
        token = None
        if execution.permission_set_refs and (secret := self._settings.jwt_secret()):
            timeout = effective_timeout(execution, action, self._settings.default_timeout)
            token = execution_token(execution, timeout=timeout, secret=secret, now=issued)
        container = self._settings.container
        if environment is not None and environment.unset:
            container = {name: value for name, value in container.items() if name not in environment.unset}
        env, warnings = build_environment(
            container,
            self._settings.site,
            execution,
            action,
            env_vars,
            api_token=token,
            parameter_file=parameter_file,
            traceparent=traceparent,
        )
        for warning in warnings:
            log.warning("execution %d: %s", execution.id, warning)
        return env


@lru_cache(256)
def _path(text: str) -> Path:
    """Each execution of a pack has the same one, which takes longer to make than most of what is done with it."""
    return Path(text)


def _request(
    action: Action,
    usable: UsableRuntime,
    selected: SelectedVersion,
    pack_dir: str,
    stop: CancellationToken,
    progress: Callable[[str], None],
) -> EnvironmentRequest:
    return EnvironmentRequest.of(
        (action.pack, action.pack_ref), _path(pack_dir), usable, selected, stop=stop, progress=progress
    )


class _Command:
    """The command line, its standard input and the temporary files it needs."""

    def __init__(self, scratch: Scratch, compiled: Callable[[str], tuple[str, ...] | None]) -> None:
        self._scratch = scratch
        self._compiled = compiled
        self.argv: tuple[str, ...] = ()
        self.stdin = b""
        self.parameter_file: str | None = None
        self.files: list[str] = []
        self.runs_a_file = False

    def build(
        self,
        action: Action,
        usable: UsableRuntime,
        selected: SelectedVersion,
        environment: PreparedEnvironment | None,
        pack_dir: str,
        parameters: Mapping[str, object],
        document: bytes,
    ) -> None:
        interpreter = selected.config.interpreter
        binary = interpreter.binary if environment is None else environment.interpreter
        more = () if environment is None else environment.arguments
        words = (binary, *more, *interpreter.args) if binary else ()
        script = resolve_entrypoint(action, pack_dir, is_shell=usable.name == "shell")
        self._deliver(action, document)
        if isinstance(script, Script):
            self.runs_a_file = True
            self.argv = self._compiled(script.path) or (*words, script.path)
        else:
            self._inline(script, words, selected, parameters)

    def _deliver(self, action: Action, document: bytes) -> None:
        if action.parameter_delivery == "file":
            self.parameter_file = self._file(document)
        elif action.parameter_delivery == "stdin":
            self.stdin = document + b"\n"
        else:
            raise InvalidExecution(f"parameter_delivery is {action.parameter_delivery!r}, not stdin or file")

    def _inline(
        self, script: Inline, words: tuple[str, ...], selected: SelectedVersion, parameters: Mapping[str, object]
    ) -> None:
        plan = plan_inline(
            script.text,
            words,
            selected.config.inline_execution,
            parameters,
            writable=self._scratch.first_writable() is not None,
        )
        self.argv = plan.argv
        if plan.content is not None:
            content = plan.content.encode("utf-8", "surrogateescape")
            self.argv = (*plan.argv, self._file(content, suffix=plan.suffix))
        if plan.stdin is not None:
            self.stdin = plan.stdin

    def _file(self, content: bytes, *, suffix: str = "") -> str:
        path = self._scratch.write(content, suffix=suffix)
        self.files.append(path)
        return path

    def discard(self) -> None:
        """Remove what was written for a process that is not going to run."""
        for path in self.files:
            os.unlink(path)
