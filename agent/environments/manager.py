"""Give an execution its environment: found in memory, found on disk, or built by exactly one of those who want it."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agent.counters import COUNTERS
from agent.environments.backend import Backend, Installers
from agent.environments.builder import Limits, build, interpreter_in, template_values
from agent.environments.declared import spec_of
from agent.environments.failed_builds import SharedFailures
from agent.environments.fingerprint import Fingerprint, fingerprint_of, manifest_of
from agent.environments.image_variables import OTHER_INTERPRETER, dropped
from agent.environments.installers import CACHE_FOLDER
from agent.environments.inventory import prune
from agent.environments.kinds import BACKENDS, DECLARED
from agent.environments.layout import Layout, can_be_written
from agent.environments.lease import recorded
from agent.environments.lock import BuildLocks
from agent.environments.lookup import find_build
from agent.environments.marker import INSTALLED, MARKER, RunExtras, built_at, read_marker, supersede
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from agent.environments.store import EnvironmentStore
from agent.environments.sweep import KEEP_SUPERSEDED, remove_pack, sweep
from agent.environments.template import fill_env_vars
from agent.environments.warm import WarmEnvironments
from agent.errors import EnvironmentFailed
from agent.process.child_env import container_environment
from agent.runtimes.model import EnvVar
from agent.settings import NetworkSettings

log = logging.getLogger(__name__)

#: Seconds that the machine's interpreter is used, without another try, for a pack that declares no dependencies.
_FALLBACK_SECONDS = 60.0


class EnvironmentManager:
    """All isolated environments of this worker; its methods may be called from any thread."""

    def __init__(
        self,
        *,
        runtime_envs_dir: Path,
        packs_base_dir: Path,
        store: EnvironmentStore | None = None,
        worker_id: Callable[[], int | None] = lambda: None,
        create_timeout: float = 900.0,
        install_timeout: float = 900.0,
        network: NetworkSettings | None = None,
        uv: str | None = None,
        max_bytes: int = 0,
        container: Mapping[str, str] | None = None,
    ) -> None:
        """Build nothing yet.

        Time-outs are in seconds; without ``store`` or a worker's id nothing is recorded in the database. ``network``
        is how installers reach their indexes, ``uv`` the program that stands in for venv and pip,
        ``max_bytes`` what all environments may take together (0: no limit). ``container`` is the
        image's environment, by default this process's.
        """
        self.runtime_envs_dir = runtime_envs_dir
        self.packs_base_dir = packs_base_dir
        self.store = store
        self.worker_id = worker_id
        self._limits = Limits(create_timeout, install_timeout)
        self._installers = Installers(runtime_envs_dir / CACHE_FOLDER, network or NetworkSettings(), uv)
        self._max_bytes = max_bytes
        self._container = container_environment() if container is None else container
        self._locks = BuildLocks(patience=create_timeout + install_timeout + 60)
        self._warm = WarmEnvironments(on_use=lambda request: self.on_use(request))
        self.on_use: Callable[[EnvironmentRequest], None] = lambda request: None
        self._failures = SharedFailures()

    def ensure_needed(self, request: EnvironmentRequest) -> PreparedEnvironment | None:
        """Do as ``ensure`` where the runtime isolates packs or sets variables; else return None. Raises as that."""
        if request.config.environment is None and not request.config.env_vars:
            return None
        return self.ensure(request)

    def ensure(self, request: EnvironmentRequest) -> PreparedEnvironment:
        """Return the environment of ``request``, built now if there is none that fits.

        A pack without dependencies gets the machine's own interpreter and a warning when its environment can't be
        made (promise: a failed installation is a failure).

        Raises:
            EnvironmentFailed: it can't be made and the pack has dependencies, or the wait for it was cancelled.
        """
        warm = self._warm.get(request)
        if warm is not None:
            return warm
        if not request.isolated:
            return self._warm.put(request, self._plain(request))
        try:
            with _translated(request):
                if not request.pack_dir.is_dir():
                    return self._plain(request)
                if spec_of(request).only_with_manifest and manifest_of(request) is None:
                    return self._warm.put(request, self._plain(request), _manifests(request))
                return self.current(request) or self._build_once(request, record=True)[0]
        except EnvironmentFailed as error:
            return self._fall_back(request, error)

    def current(self, request: EnvironmentRequest) -> PreparedEnvironment | None:
        """Return the environment if a complete one that fits is on the disk; builds nothing.

        Raises:
            EnvironmentFailed: the manifest can't be read.
            OSError: the environments can't be read.
        """
        wanted = self.fingerprint(request)
        layout = self.layout(request)
        found = find_build(layout, request, wanted)
        return None if found is None else self._remember(request, layout, found, wanted)

    def fingerprint(self, request: EnvironmentRequest) -> Fingerprint:
        """Return what the environment of ``request`` has to be built from now.

        Raises:
            EnvironmentFailed: the manifest can't be read.
        """
        return fingerprint_of(request, _backend_of(request))

    def layout(self, request: EnvironmentRequest) -> Layout:
        """Return where the environments of ``request`` lie.

        Raises:
            EnvironmentFailed: its names can't be directory names.
        """
        return Layout(self.runtime_envs_dir, request.pack_ref, request.dir_name)

    def build_if_needed(self, request: EnvironmentRequest) -> bool:
        """Look at the disk, build what is missing there and say whether that was needed; records nothing.

        Raises:
            EnvironmentFailed: it can't be made.
        """
        with _translated(request):
            return self.current(request) is None and self._build_once(request, record=False)[1]

    def rebuild(self, request: EnvironmentRequest, *, asked_at: float | None = None) -> bool:
        """Build the environment anew and point its name to the new build; returns whether it was built.

        With ``asked_at`` (seconds since 1970) one that was built since then stays: another worker of this volume was
        asked, too.

        Raises:
            EnvironmentFailed: it can't be made; the old one stays.
        """
        if not request.isolated or not request.pack_dir.is_dir():
            return False
        with _translated(request):
            if spec_of(request).only_with_manifest and manifest_of(request) is None:
                return False
            layout, wanted = self.layout(request), self.fingerprint(request)
            layout.prepare()
            with self._locks.hold(layout.lock, lambda: request.asked_to_end):
                if asked_at is not None and built_at(layout.current()) >= asked_at:
                    return False
                before = list(layout.builds())
                store = None if self.worker_id() is None else self.store
                with recorded(store, self.worker_id(), request, layout, wanted):
                    directory = self._build(request, layout, wanted)
                for build in before:
                    # Nobody takes it any more; who runs from it finishes on it.
                    marker = read_marker(build)
                    if marker is not None and marker.fingerprint == wanted.digest:
                        supersede(build)
                self._remember(request, layout, directory, wanted)
        return True

    def record_use(self, request: EnvironmentRequest) -> None:
        """Note in the database that an environment was used just now.

        Raises:
            DatabaseError: it can't be noted.
        """
        if self.store is not None and request.pack_id is not None and request.runtime_id is not None:
            self.store.used(request.pack_id, request.runtime_id, request.runtime_version_id)

    def remove(self, pack_ref: str) -> None:
        """Delete all environments of a pack; what still runs from them may lose what it hasn't loaded yet.

        Raises:
            EnvironmentFailed: they can't be removed.
        """
        directory = Layout(self.runtime_envs_dir, pack_ref, "any").pack
        self._warm.forget_pack(pack_ref)
        try:
            remove_pack(self.runtime_envs_dir, directory)
        except OSError as error:
            raise EnvironmentFailed(f"can't remove {directory}: {error.strerror}", step="remove") from error
        log.info("removed the environments of pack %s", pack_ref)

    def _build_once(self, request: EnvironmentRequest, *, record: bool) -> tuple[PreparedEnvironment, bool]:
        """Build unless somebody else has done so meanwhile; tell whether it was built here."""
        asked, layout = time.monotonic(), self.layout(request)
        layout.prepare()
        with self._locks.hold(layout.lock, lambda: request.asked_to_end):
            found = self.current(request)
            if found is not None:
                return found, False
            wanted = self.fingerprint(request)
            key = f"{layout.lock} {wanted.digest}"
            self._failures.raise_since(key, asked)
            sweep(layout, None)
            store = self.store if record else None
            try:
                with recorded(store, self.worker_id(), request, layout, wanted):
                    directory = self._build(request, layout, wanted)
            except EnvironmentFailed as error:
                self._failures.note(key, error)
                raise
            self._failures.clear(key)
            sweep(layout, directory)
            if self._max_bytes:
                prune(self.runtime_envs_dir, keep_unused=KEEP_SUPERSEDED, max_bytes=self._max_bytes)
            return self._remember(request, layout, directory, self.fingerprint(request)), True

    def _build(self, request: EnvironmentRequest, layout: Layout, wanted: Fingerprint) -> Path:
        directory = layout.new_build(wanted.digest)
        try:
            build(
                request,
                _backend_of(request),
                wanted,
                directory,
                installers=self._installers,
                limits=self._limits,
            )
        except EnvironmentFailed:
            COUNTERS.add("attune_worker_environment_builds_total", outcome="failed")
            raise
        COUNTERS.add("attune_worker_environment_builds_total", outcome="built")
        layout.point_to(directory)
        return directory

    def _remember(
        self, request: EnvironmentRequest, layout: Layout, directory: Path, wanted: Fingerprint
    ) -> PreparedEnvironment:
        own = interpreter_in(request, directory)
        interpreter = request.interpreter if own is None else str(own)
        values = template_values(request, directory, interpreter)
        marker = read_marker(directory)
        extras = RunExtras() if marker is None else marker.extras
        more = {name: EnvVar(value) for name, value in extras.variables.items()}
        hidden = _backend_of(request).image_variables(request)
        env_vars = fill_env_vars(request.config.env_vars, values) | more
        for name in _backend_of(request).run_caches():
            if name in env_vars and not can_be_written(Path(env_vars[name].value)):
                del env_vars[name]
        prepared = PreparedEnvironment(
            env_dir=directory,
            path=layout.link,
            interpreter=interpreter,
            env_vars=env_vars,
            arguments=extras.arguments,
            unset=dropped(self._container, (*hidden.run, *OTHER_INTERPRETER), hidden.keep),
        )
        ours = (directory / MARKER, directory / INSTALLED, layout.link, interpreter, request.interpreter)
        return self._warm.put(request, prepared, [*ours, *wanted.watched])

    def _fall_back(self, request: EnvironmentRequest, error: EnvironmentFailed) -> PreparedEnvironment:
        """Use the machine's own interpreter, or raise ``error`` where that would miss dependencies."""
        if error.cancelled or _has_manifest(request):
            raise error
        warning = f"no isolated environment, running on {request.interpreter}: {error}"
        log.warning("%s: %s", request, warning)
        return self._warm.put(request, self._plain(request, warning), _manifests(request), lasts=_FALLBACK_SECONDS)

    def _plain(self, request: EnvironmentRequest, warning: str | None = None) -> PreparedEnvironment:
        """Describe a run on the machine's own interpreter.

        Variables that name a directory which doesn't exist are left out: a Go that is told to cache there can't build.
        """
        known = request.config.env_vars
        if request.isolated:
            known = {name: variable for name, variable in known.items() if "{env_dir}" not in variable.value}
        env_vars = fill_env_vars(known, template_values(request, None, request.interpreter))
        unset = _naming_another(self._container, request.interpreter)
        return PreparedEnvironment(None, None, request.interpreter, env_vars, warning, unset)


def _backend_of(request: EnvironmentRequest) -> Backend:
    environment = request.config.environment
    return DECLARED if environment is None else BACKENDS.get(environment.env_type, DECLARED)


def _manifests(request: EnvironmentRequest) -> list[Path]:
    return [request.pack_dir / spec.manifest_file for spec in request.manifests]


def _naming_another(container: Mapping[str, str], interpreter: str) -> frozenset[str]:
    """The variables that name the home of another interpreter than the one that runs."""
    real = Path(os.path.realpath(interpreter or "/"))
    homes = {name: os.path.realpath(container[name] or os.devnull) for name in OTHER_INTERPRETER if name in container}
    return frozenset(name for name, home in homes.items() if not real.is_relative_to(home))


def _has_manifest(request: EnvironmentRequest) -> bool:
    """Whether the pack declares dependencies; a manifest that can't be read counts as one."""
    try:
        manifest = manifest_of(request)
        return manifest is not None and not _backend_of(request).declares_nothing(manifest)
    except (EnvironmentFailed, OSError):
        return True


@contextlib.contextmanager
def _translated(request: EnvironmentRequest) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFailed(
            f"{request}: can't use {error.filename}: {error.strerror}",
            step="prepare directory",
            hint="make runtime_envs_dir (ATTUNE__RUNTIME_ENVS_DIR) writable for the worker's user",
        ) from error
