"""Build one environment: create it, stage what the installer reads, install, check; the marker is written last."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.environments.backend import Backend, BuildSite, Installers
from agent.environments.fingerprint import Fingerprint, fingerprint_of
from agent.environments.installers import installer_environment
from agent.environments.marker import RunExtras, write_marker
from agent.environments.model import EnvironmentRequest
from agent.environments.source_copy import copy_pack
from agent.environments.steps import Step, run_step
from agent.environments.sweep import remove_tree
from agent.environments.template import Values, fill, fill_command
from agent.errors import EnvironmentFailed
from agent.process.child_env import container_environment

log = logging.getLogger(__name__)

_CHECK = "check what was installed"
_ELSEWHERE = "look for variables or configuration files of the image that make the installer write elsewhere"


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
    installers: Installers,
    limits: Limits,
) -> None:
    """Make ``env_dir`` a complete environment, or leave nothing of it.

    Raises:
        EnvironmentFailed: a step failed, took too long or was cancelled.
    """
    site = BuildSite(request, env_dir, fingerprint.manifest, request.pack_dir, installers)
    started = time.monotonic()
    _tell(request, f"building {request} in {env_dir}")
    try:
        _create(site, backend, limits.create)
        installed, extras = _install(site, backend, limits.install)
        final = _final(request, backend, fingerprint)
        write_marker(env_dir, final, installed=installed, extras=extras)
    except BaseException as error:
        remove_tree(env_dir)
        _tell(request, f"building {request} failed after {time.monotonic() - started:.1f} s")
        if isinstance(error, OSError):
            raise EnvironmentFailed(
                f"{request}: can't write {error.filename}: {error.strerror}", step=f"create {backend.label}"
            ) from error
        raise
    _tell(request, f"built {request} in {time.monotonic() - started:.1f} s")


def template_values(request: EnvironmentRequest, env_dir: Path | None, interpreter: str) -> Values:
    """Return the values of the placeholders (``manifest_path`` only where the runtime knows a manifest)."""
    values = {"pack_dir": str(request.pack_dir), "interpreter": interpreter}
    if env_dir is not None:
        values["env_dir"] = str(env_dir)
    if (dependencies := request.dependencies) is not None:
        values["manifest_path"] = str(request.pack_dir / dependencies.manifest_file)
    return values


def interpreter_in(request: EnvironmentRequest, env_dir: Path) -> Path | None:
    """Return where the environment's own interpreter has to be; None for a kind that has none."""
    environment = request.config.environment
    if environment is None or not environment.interpreter_path:
        return None
    places = {"env_dir": str(env_dir), "pack_dir": str(request.pack_dir)}
    return Path(fill(environment.interpreter_path, places))


def _tell(request: EnvironmentRequest, line: str) -> None:
    log.info("%s", line)
    request.progress(line)


def _environment(site: BuildSite, backend: Backend) -> Mapping[str, str]:
    return installer_environment(
        container_environment(),
        hidden=backend.image_variables(site.request),
        installers=site.installers,
        variables=backend.variables(site),
        program_folders=backend.program_folders(site),
    )


def _values(site: BuildSite, interpreter: str) -> Values:
    """The placeholders of a build: there ``{pack_dir}`` is the directory that its installer may write to."""
    values = dict(template_values(site.request, site.env_dir, interpreter))
    values |= {"pack_dir": str(site.source), "cache_dir": str(site.installers.cache_dir)}
    return values | ({} if site.manifest is None else {"manifest_path": str(site.manifest)})


def _create(site: BuildSite, backend: Backend, timeout: float) -> None:
    name = f"create {backend.label}"
    command = backend.create_command(site)
    if not command:
        raise EnvironmentFailed(f"{site.request}: {name} failed: its runtime declares no create_command", step=name)
    words = fill_command(command, _values(site, site.request.interpreter))
    run_step(Step(name, words, timeout, _environment(site, backend)), site, backend)
    interpreter = interpreter_in(site.request, site.env_dir)
    if interpreter is not None and not interpreter.exists():
        raise EnvironmentFailed(
            f"{site.request}: {name} failed: its command exited with 0 but didn't create {interpreter}", step=name
        )
    backend.stage(site)


def _install(site: BuildSite, backend: Backend, timeout: float) -> tuple[bool, RunExtras]:
    """Install what the pack declares and check it; return whether there was a manifest, and what actions need."""
    if site.manifest is None or backend.declares_nothing(site.manifest):
        return site.manifest is not None, RunExtras(backend.run_variables(site))
    copied = backend.works_in_copy(site.request, site.manifest)
    if copied:
        source = backend.source_dir(site.env_dir)
        copy_pack(site.request.pack_dir, source)
        site = replace(site, source=source, manifest=source / site.manifest.relative_to(site.request.pack_dir))
    command: Sequence[str] = backend.install_command(site)
    if not command:
        log.warning("%s: %s is not installed: its runtime declares no install_command", site.request, site.manifest)
        return False, RunExtras()
    interpreter = str(interpreter_in(site.request, site.env_dir) or site.request.interpreter)
    env = _environment(site, backend)
    steps = [("install dependencies", command), *((_CHECK, words) for words in backend.check_commands(site, command))]
    for name, words in steps:
        run_step(Step(name, fill_command(words, _values(site, interpreter)), timeout, env), site, backend)
    missing = backend.check(site)
    if missing:
        raise EnvironmentFailed(
            f"{site.request}: {_CHECK} failed: the installer exited with 0, but {missing}",
            step=_CHECK,
            hint=backend.remedy(site, missing) or _ELSEWHERE,
        )
    extras = RunExtras(backend.run_variables(site), tuple(backend.run_arguments(site)))
    if copied and not backend.keeps_source(site):
        remove_tree(site.source)
    return True, extras


def _final(request: EnvironmentRequest, backend: Backend, before: Fingerprint) -> Fingerprint:
    """Return what the finished environment stands for.

    An installer that works in the pack may write the lock file that its pack didn't bring: that is what it installed.
    Any other change happened behind its back, so the environment stands for what there was before.
    """
    after = fingerprint_of(request, backend)
    return after if after.differs_by_new_lock_files_only(before) else before
