"""What an environment was built from, as one digest: equal digests reuse it, another digest builds another one.

Part of it are the interpreter (real path and version), the C library, the architecture, the recipe, where the pack
lies (a manifest may name files beside it), the manifest, its lock files, and local files that the manifest names.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.environments.backend import Backend
from agent.environments.elf import binary_format
from agent.environments.model import EnvironmentRequest
from agent.environments.source_copy import IGNORED
from agent.errors import EnvironmentFailed
from agent.reading.regular_files import open_regular

#: Largest manifest that is looked into for what it names.
LARGEST_MANIFEST = 4 * 1024 * 1024

#: Files of local packages that are looked at before each use.
_MOST_WATCHED = 200


@dataclass(frozen=True)
class Fingerprint:
    """``inputs`` explain ``digest``; ``manifest_checksum`` is the hex SHA-256 that Attune's other workers compare.

    ``watched`` are the files whose change means that the digest has to be computed again.
    """

    digest: str
    inputs: Mapping[str, object]
    manifest: Path | None
    manifest_checksum: str | None
    watched: tuple[Path, ...]

    def differs_by_new_lock_files_only(self, before: Fingerprint) -> bool:
        """Whether an installer merely wrote the lock file that its pack didn't bring."""
        mine, theirs = self.inputs["files"], before.inputs["files"]
        assert isinstance(mine, dict)
        assert isinstance(theirs, dict)
        appeared = {name for name, checksum in theirs.items() if checksum is None and mine.get(name)}
        rest = {name: None if name in appeared else checksum for name, checksum in mine.items()}
        return bool(appeared) and {**self.inputs, "files": rest} == before.inputs


def fingerprint_of(request: EnvironmentRequest, backend: Backend) -> Fingerprint:
    """Read what decides about the environment of ``request``.

    Raises:
        EnvironmentFailed: the manifest lies outside the pack or can't be read.
    """
    manifest = manifest_of(request)
    try:
        watched = _files(request, backend, manifest)
        files = list(dict.fromkeys(_expanded(watched)))
        checksums = {os.path.relpath(path, request.pack_dir): _checksum(path) for path in files}
        manifest_checksum = None if manifest is None else _checksum(manifest)
    except OSError as error:
        raise EnvironmentFailed(
            f"{request}: can't read {error.filename}: {error.strerror}", step="read manifest"
        ) from error
    environment, dependencies = request.config.environment, request.dependencies
    inputs: dict[str, object] = {
        "format": 2,
        "interpreter": os.path.realpath(request.interpreter) if request.interpreter else "",
        "version": request.interpreter_version or _size(request.interpreter),
        **asdict(binary_format(request.interpreter)),
        "environment": None if environment is None else _plain(asdict(environment)),
        "install": [] if dependencies is None else list(dependencies.install_command),
        "pack_dir": str(request.pack_dir),
        "files": checksums,
    }
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    # A folder looks the same when a file in it is written again.
    return Fingerprint(digest, inputs, manifest, manifest_checksum, (*watched, *files[:_MOST_WATCHED]))


def manifest_of(request: EnvironmentRequest) -> Path | None:
    """Return the pack's manifest, None when the runtime knows none or the pack brings none.

    Raises:
        EnvironmentFailed: it lies outside the pack.
    """
    dependencies = request.dependencies
    if dependencies is None:
        return None
    manifest = request.pack_dir / dependencies.manifest_file
    if not manifest.is_file():
        return None
    if not manifest.resolve().is_relative_to(request.pack_dir.resolve()):
        raise EnvironmentFailed(f"{request}: the manifest {manifest} lies outside the pack", step="read manifest")
    return manifest


def _files(request: EnvironmentRequest, backend: Backend, manifest: Path | None) -> list[Path]:
    """List what to hash: existing files and folders, and files whose appearance would change what is installed."""
    wanted = [request.pack_dir / spec.manifest_file for spec in request.manifests]
    chosen = manifest or (wanted[0] if wanted else None)
    beside = [] if chosen is None else [chosen.parent / name for name in backend.lock_files(request, chosen)]
    named = [] if manifest is None else backend.local_inputs(request.pack_dir, manifest)
    return list(dict.fromkeys([*wanted, *beside, *named]))


def _expanded(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(set(folders) - IGNORED)
            yield from (Path(folder, name) for name in sorted(names))


def _size(program: str) -> str:
    """Tell one build of an interpreter from another where nobody knows its version."""
    try:
        return f"{os.stat(program).st_size} bytes"
    except OSError:
        return ""


def _checksum(path: Path) -> str | None:
    if not path.is_file():
        return None
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Return ``values`` as JSON would give them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
