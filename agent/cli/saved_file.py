"""Save the bytes of an artifact under a name that is there whole or not at all, and never by accident replaced.

What has come is kept beside it in ``.attune-<digest>.part``, so that the next attempt goes on there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError, Conflict
from agent.operations.artifact_content import ArtifactContent
from agent.reading.digest import digest_of
from agent.reading.regular_files import NoRegularFile, open_regular

_PART = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True)
class Saved:
    """Where the bytes are; ``fresh`` is False where they were there before."""

    path: Path
    size: int
    sha256: str
    fresh: bool


def save(content: ArtifactContent, path: Path, *, replace: bool) -> Saved:
    """Write ``content`` to ``path``; go on where an earlier attempt ended.

    Raises:
        Conflict: something else has that name, and ``replace`` is False; or another command saves the same now.
        AgentError: it can't be written, or what came has another digest than was promised.
    """
    done = Saved(path, content.size, content.sha256, fresh=True)
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AgentError(f"can't write to {path.parent}: {error.strerror}") from error
    try:
        if not replace and (known := _digest_at(path.name, folder)) is not None:
            if known == done.sha256:
                return Saved(path, done.size, done.sha256, fresh=False)
            raise _taken(path)
        _receive(content, path, folder, replace=replace)
    except OSError as error:
        room = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "make room and say the same again: what has come is kept" if room else None
        raise AgentError(f"can't write {path}: {error.strerror or error}", hint=hint) from error
    finally:
        os.close(folder)
    return done


def _receive(content: ArtifactContent, path: Path, folder: int, *, replace: bool) -> None:
    part = f".attune-{content.sha256}.part"
    descriptor = os.open(part, _PART, 0o600, dir_fd=folder)
    with open(descriptor, "r+b", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NoRegularFile(errno.EEXIST, f"{part} is in the way")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another command is saving {path}") from None
        have = os.fstat(descriptor).st_size
        if have > content.size:
            os.ftruncate(descriptor, 0)
            have = 0
        for chunk in content.read_from(have):
            _write(descriptor, chunk)
        found = digest_of(descriptor)
        if found != content.sha256:
            os.unlink(part, dir_fd=folder)
            raise AgentError(
                f"what came for {path} has the digest {found} instead of {content.sha256}: it was thrown away",
                hint="something on the way changes what is sent",
            )
        os.fchmod(descriptor, 0o666 & ~_umask())
        file.flush()
        os.fsync(descriptor)
        _name(part, path, folder, replace=replace)


def _name(part: str, path: Path, folder: int, *, replace: bool) -> None:
    """Give the whole file its name: in one step, and not over another that came meanwhile."""
    if replace:
        os.replace(part, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        os.link(part, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a file system without hard links
        with contextlib.suppress(FileNotFoundError):
            os.stat(path.name, dir_fd=folder, follow_symlinks=False)
            raise _taken(path) from None
        os.rename(part, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    os.unlink(part, dir_fd=folder)


def _taken(path: Path) -> Conflict:
    return Conflict(f"{path} is there already, with other content", hint="--force replaces it, --output names another")


def _write(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _digest_at(name: str, folder: int) -> str | None:
    """Return the digest of what has that name, None where nothing has; of what is no file, one that nothing has."""
    try:
        descriptor = open_regular(name, follow=False, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:
        return ""
    try:
        return digest_of(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    before = os.umask(0o077)
    os.umask(before)
    return before
