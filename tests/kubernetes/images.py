"""Container images without an engine: root file systems and single files, packed as ``docker save`` would."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def layer(place: Path, files: Mapping[str, Path | bytes]) -> Path:
    """Write a layer with these files, each executable, and return it; a directory is taken with all that is in it."""
    with tarfile.open(place, "w") as tar:
        for name, content in sorted(files.items()):
            if isinstance(content, bytes):
                entry = tarfile.TarInfo(name.lstrip("/"))
                entry.size, entry.mode = len(content), 0o755
                tar.addfile(entry, io.BytesIO(content))
            else:
                tar.add(content, name.lstrip("/"), filter=_anyones)
    return place


def _anyones(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o555 if entry.isdir() or entry.mode & 0o100 else 0o444
    return entry


def archive(
    place: Path, name: str, layers: Sequence[Path], *, command: Sequence[str] = (), architecture: str | None = None
) -> Path:
    """Pack ``layers`` (tar files) as the image ``name`` into the file ``place`` and return it.

    ``architecture`` is what the image says it is for (Docker's name), by default this machine's.
    """
    digests = [_digest(one) for one in layers]
    configuration = json.dumps(
        {
            "architecture": architecture or _ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {"Entrypoint": list(command), "Env": [_PATH]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        }
    ).encode()
    named = hashlib.sha256(configuration).hexdigest() + ".json"
    manifest = {"Config": named, "RepoTags": [name], "Layers": [f"{digest}/layer.tar" for digest in digests]}
    with tarfile.open(place, "w") as tar:
        _add(tar, named, configuration)
        for digest, one in zip(digests, layers, strict=True):
            tar.add(one, f"{digest}/layer.tar")
        _add(tar, "manifest.json", json.dumps([manifest]).encode())
    return place


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
