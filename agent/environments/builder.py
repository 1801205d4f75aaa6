"""Build one environment: create it, stage what the installer reads, install, check; the marker is written last."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.environments.backend import Backend, BuildSite
from agent.environments.fingerprint import Fingerprint, fingerprint_of
from agent.environments.installers import installer_environment
from agent.environments.marker import write_marker
from agent.environments.model import EnvironmentRequest
from agent.environments.steps import Step, run_step
from agent.environments.sweep import remove_tree
from agent.environments.template import Values, fill, fill_command
from agent.errors import EnvironmentFailed
from agent.process.child_env import container_environment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Seconds that creating and installing may take (promise: every tool has a time limit)."""

    create: float
    install: float


def build(
    request: EnvironmentRequest,
    backend: Backend,
    fingerprint: Fingerprint,
    env_dir: Path,
    *,
    runtime_envs_dir: Path,
    limits: Limits,
) -> None:
    """Make ``env_dir`` a complete environment, or leave nothing of it.

    Raises:
        EnvironmentFailed: a step failed, took too long or was cancelled.
    """
    site = BuildSite(request, env_dir, fingerprint.manifest)
    log.info("building %s in %s", request, env_dir)
    try:
        environment = _commands_environment(site, backend, runtime_envs_dir)
        _create(site, backend, limits.create, environment)
        installed = _install(site, backend, limits.install, environment)
        write_marker(env_dir, _final(request, backend, fingerprint), installed=installed)
    except BaseException as error:
        remove_tree(env_dir)
        if isinstance(error, OSError):
            raise EnvironmentFailed(
                f"{request}: can't write {error.filename}: {error.strerror}", step=f"create {backend.label}"
            ) from error
        raise
    log.info("built %s", request)


def template_values(request: EnvironmentRequest, env_dir: Path | None, interpreter: str) -> Values:
    """Return the values of the placeholders (``manifest_path`` only where the runtime knows a manifest)."""
    values = {"pack_dir": str(request.pack_dir), "interpreter": interpreter}
    if env_dir is not None:
        values["env_dir"] = str(env_dir)
    if request.config.dependencies is not None:
        values["manifest_path"] = str(request.pack_dir / request.config.dependencies.manifest_file)
    return values


def interpreter_in(request: EnvironmentRequest, env_dir: Path) -> Path | None:
    """Return where the environment's own interpreter has to be; None for a kind that has none."""
    environment = request.config.environment
    if environment is None or not environment.interpreter_path:
        return None
    places = {"env_dir": str(env_dir), "pack_dir": str(request.pack_dir)}
    return Path(fill(environment.interpreter_path, places))


def _commands_environment(site: BuildSite, backend: Backend, runtime_envs_dir: Path) -> Mapping[str, str]:
    return installer_environment(
        container_environment(),
        runtime_envs_dir=runtime_envs_dir,
        variables=backend.variables(site),
        program_folders=backend.program_folders(site),
    )


def _create(site: BuildSite, backend: Backend, timeout: float, env: Mapping[str, str]) -> None:
    name = f"create {backend.label}"
    command = backend.create_command(site)
    if not command:
        raise EnvironmentFailed(f"{site.request}: {name} failed: its runtime declares no create_command", step=name)
    values = template_values(site.request, site.env_dir, site.request.interpreter)
    run_step(Step(name, fill_command(command, values), timeout, env), site, backend)
    interpreter = interpreter_in(site.request, site.env_dir)
    if interpreter is not None and not interpreter.exists():
        raise EnvironmentFailed(
            f"{site.request}: {name} failed: its command exited with 0 but didn't create {interpreter}", step=name
        )
    backend.stage(site)


def _install(site: BuildSite, backend: Backend, timeout: float, env: Mapping[str, str]) -> bool:
    if site.manifest is None:
        return False
    command: Sequence[str] = backend.install_command(site)
    if not command:
        log.warning("%s: %s is not installed: its runtime declares no install_command", site.request, site.manifest)
        return False
    interpreter = interpreter_in(site.request, site.env_dir) or site.request.interpreter
    values = template_values(site.request, site.env_dir, str(interpreter))
    run_step(Step("install dependencies", fill_command(command, values), timeout, env), site, backend)
    return True


def _final(request: EnvironmentRequest, backend: Backend, before: Fingerprint) -> Fingerprint:
    """Return what the finished environment stands for.

    An installer may write the lock file that its pack didn't bring (bundler does): that is what it installed. Any
    other change happened behind its back, so the environment stands for what there was before.
    """
    after = fingerprint_of(request, backend)
    return after if after.differs_by_new_lock_files_only(before) else before
