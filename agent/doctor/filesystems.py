"""Directories that executions need: writable, executable, with room; and the agent's own unpacked files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.doctor.finding import Finding, fail, fine, warn
from agent.settings import Settings

_MEGABYTE = 1024 * 1024
#: Below this an environment or a log of ordinary size no longer fits.
_LOW_SPACE = 512 * _MEGABYTE


@dataclass(frozen=True)
class _Place:
    check: str
    path: Path
    needs_writing: bool
    needs_execution: bool
    without: str


def check_filesystems(settings: Settings, scratch: list[str]) -> Iterator[Finding]:
    """Look at every directory of the settings; ``scratch`` are the candidates for temporary files, best first."""
    places = (
        _Place("packs_base_dir", settings.packs_base_dir, False, False, "no action can be run"),
        _Place("runtime_envs_dir", settings.runtime_envs_dir, True, True, "packs with dependencies can't be run"),
        _Place("artifacts_dir", settings.artifacts_dir, True, False, "executions leave no logs"),
    )
    for place in places:
        yield _judge(place)
    usable = [path for path in scratch if os.path.isdir(path) and _write_error(path) is None]
    if usable:
        yield fine("scratch", f"temporary files go to {usable[0]}")
    else:
        remedy = "mount a writable volume and name it in worker.scratch_dir"
        yield warn("scratch", "no directory for temporary files is writable", remedy)


def _judge(place: _Place) -> Finding:
    path = place.path
    mount = f"mount a volume at {path}, or name another directory in {place.check}"
    if not path.is_dir():
        return warn(place.check, f"{path} does not exist: {place.without}", mount)
    if not place.needs_writing:
        readable = os.access(path, os.R_OK | os.X_OK)
        remedy = f"allow UID {os.geteuid()} to read {path}"
        return (
            fine(place.check, f"{path} can be read") if readable else warn(place.check, f"{path} can't be read", remedy)
        )
    problem = _write_error(str(path))
    if problem is not None:
        remedy = f"allow UID {os.geteuid()}, GID {os.getegid()} to write to {path}, or mount a writable volume there"
        return warn(place.check, f"{path} can't be written ({problem}): {place.without}", remedy)
    status = os.statvfs(path)
    if place.needs_execution and status.f_flag & os.ST_NOEXEC:
        return warn(place.check, f"{path} is mounted noexec: {place.without}", "mount it with exec")
    room = status.f_bavail * status.f_frsize
    if room < _LOW_SPACE:
        return warn(place.check, f"{path} has {room // _MEGABYTE} MB left", "free some space or enlarge the volume")
    return fine(place.check, f"{path} is writable, {room // _MEGABYTE} MB left")


def _write_error(directory: str) -> str | None:
    """Try it: modes don't tell what mounts, quotas and security modules say."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"attune")
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def check_program(tree: Path | None) -> Finding:
    """Compare the unpacked files of the one-file agent with their digests. ``tree`` is None where there are none."""
    if tree is None:
        return fine("program", "runs from source or from a wheel")
    remedy = f"run `attune-agent install {tree.parent}`, or remove {tree}"
    lines = (tree / "CONTENTS").read_text(encoding="utf-8").splitlines()
    for line in lines:
        digest, size, name = line.split(" ", 2)
        try:
            content = (tree / name).read_bytes()
        except OSError as error:
            return fail("program", f"{tree / name}: {error.strerror}", remedy)
        if len(content) != int(size) or hashlib.blake2b(content, digest_size=32).hexdigest() != digest:
            return fail("program", f"{tree / name} differs from the packed file", remedy)
    return fine("program", f"{len(lines)} files in {tree} are unchanged")
