"""Files that workers without a shared volume put into the directory of artifacts: in pieces, each taken once.

A file grows at its end only: who sends a piece says where it begins, and one that was sent twice changes nothing. It
gets its final name when it is whole. The directory is shared with jobs and other services: all is opened below it, no
link is followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from agent.execution.outcome.log_files import DIRECTORY_MODE, FILE_MODE
from agent.reading.beneath import Directory, is_inside
from agent.reading.digest import digest_of

_CHUNK = 1 << 20
_PATIENCE = 2.0
_LONGEST_PATH, _LONGEST_PART, _DEEPEST = 1024, 200, 16


class WrongOffset(Exception):
    """A piece doesn't begin where the file ends; ``size`` is where it would have to, -1 where its content differs."""

    def __init__(self, size: int) -> None:
        """Carry the size."""
        super().__init__(size)
        self.size = size


class WrongContent(Exception):
    """What came is not what its digest promises."""


class TooLarge(Exception):
    """The file would be larger than it may."""


def refused_path(path: str) -> str | None:
    """Say why a path can't be that of an artifact; None where it can."""
    parts = path.split("/")
    if not is_inside(path) or any(part in ("", ".") for part in parts):
        return "a path is relative and names neither . nor .."
    if len(path) > _LONGEST_PATH or len(parts) > _DEEPEST or any(len(part.encode()) > _LONGEST_PART for part in parts):
        return "the path is too long"
    if any(part.startswith(".") for part in parts) or any(ord(character) < 32 for character in path):
        return "no part of a path begins with a dot or holds a control character"
    return None


class StoredFiles:
    """Below one directory; for any thread and any number of processes."""

    def __init__(self, directory: Path, largest: int) -> None:
        """Keep files of at most ``largest`` bytes."""
        self._directory = directory
        self._largest = largest

    def to_read(self, path: str) -> int:
        """Open a file to read it. Raises OSError."""
        with self._root() as root:
            descriptor = root.open(path, os.O_RDONLY)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "no file", path)
        return descriptor

    def append(self, path: str, content: IO[bytes], offset: int | None) -> int:
        """Add a piece at the end; return the size. ``offset`` None: wherever that is.

        Raises:
            WrongOffset: it begins elsewhere, and isn't what is there already.
            TooLarge: it would get too large.
            OSError: it can't be written; what was there is still there.
        """
        length = content.seek(0, os.SEEK_END)
        with self._root() as root:
            descriptor = self._to_append(root, path)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EEXIST, "no file", path)
            _lock(descriptor)
            size = os.fstat(descriptor).st_size
            if offset is not None and offset != size:
                if offset + length <= size and _same(descriptor, offset, content):
                    return size
                raise WrongOffset(size if offset >= size or offset + length > size else -1)
            if size + length > self._largest:
                raise TooLarge
            content.seek(0)
            try:
                _copy(content, descriptor)
            except OSError:
                os.ftruncate(descriptor, size)  # half a piece would be in the way of its repetition
                raise
            return size + length
        finally:
            os.close(descriptor)

    def put(self, path: str, content: IO[bytes], digest: str | None) -> None:
        """Make a file with this content in one step. Raises WrongContent, TooLarge, OSError."""
        if content.seek(0, os.SEEK_END) > self._largest:
            raise TooLarge
        content.seek(0)
        if digest is not None and hashlib.file_digest(content, "sha256").hexdigest() != digest:  # type: ignore[arg-type]
            raise WrongContent
        content.seek(0)
        with self._place(path) as (folder, name):
            temporary = f".{uuid.uuid4().hex}.new"
            descriptor = os.open(temporary, _NEW, FILE_MODE, dir_fd=folder)
            try:
                with contextlib.closing(_Descriptor(descriptor)):
                    os.fchmod(descriptor, FILE_MODE)
                    _copy(content, descriptor)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise

    def finish(self, source: str, path: str, size: int, digest: str) -> None:
        """Give a file that was sent in pieces its final name; the same again changes nothing.

        Raises:
            WrongContent: the source has another size or digest.
            OSError: there is neither the source nor the finished file, or it can't be linked.
        """
        with self._root() as root:
            try:
                descriptor = root.open(source, os.O_RDONLY)
            except OSError:
                descriptor = root.open(path, os.O_RDONLY)  # it was finished before, and the answer was lost
            try:
                if os.fstat(descriptor).st_size != size or digest_of(descriptor) != digest:
                    raise WrongContent
                with self._place(path) as (folder, name):
                    temporary = f".{uuid.uuid4().hex}.new"
                    os.link(f"/proc/self/fd/{descriptor}", temporary, dst_dir_fd=folder, follow_symlinks=True)
                    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                    with contextlib.suppress(OSError):  # of two names of one file a rename removes neither
                        os.unlink(temporary, dir_fd=folder)
            finally:
                os.close(descriptor)

    def make_parent(self, path: str) -> None:
        """Make the directory of a file that somebody else will write. Raises OSError."""
        with self._place(path):
            pass

    def rename(self, path: str, to: str) -> None:
        """Give a file that is whole another name. Raises OSError."""
        with self._place(path) as (before, old), self._place(to) as (folder, name):
            os.replace(old, name, src_dir_fd=before, dst_dir_fd=folder)

    def alias(self, path: str, target: str) -> None:
        """Leave a link at ``path`` to ``target``, for who still reads there. Raises OSError."""
        if path == target:
            raise OSError(errno.EEXIST, "a link to itself", path)
        with self._place(path) as (folder, name):
            temporary = f".{uuid.uuid4().hex}.new"
            os.symlink(os.path.relpath(target, os.path.dirname(path) or "."), temporary, dir_fd=folder)
            try:
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(temporary, dir_fd=folder)
                raise

    def delete(self, path: str) -> bool:
        """Remove a file; whether there was one. Raises OSError."""
        try:
            with self._root() as root, root.folder(os.path.dirname(path) or ".") as folder:
                os.unlink(os.path.basename(path), dir_fd=folder)
        except (FileNotFoundError, IsADirectoryError):
            return False
        return True

    def _to_append(self, root: Directory, path: str) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        with contextlib.suppress(FileNotFoundError):
            return root.open(path, flags, FILE_MODE)
        with self._place(path):
            pass  # its directory is there now
        return root.open(path, flags, FILE_MODE)

    @contextlib.contextmanager
    def _place(self, path: str) -> Iterator[tuple[int, str]]:
        parent, name = os.path.split(path)
        with self._root() as root, root.made_folder(parent or ".", DIRECTORY_MODE) as folder:
            yield folder, name

    def _root(self) -> Directory:
        try:
            return Directory(self._directory)
        except FileNotFoundError:
            self._directory.mkdir(parents=True, exist_ok=True)
            return Directory(self._directory)


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class _Descriptor:
    def __init__(self, number: int) -> None:
        self._number = number

    def close(self) -> None:
        os.close(self._number)


def _lock(descriptor: int) -> None:
    """Wait for who else writes, but not for a job that keeps a lock for ever. Raises OSError."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _copy(content: IO[bytes], descriptor: int) -> None:
    while chunk := content.read(_CHUNK):
        view = memoryview(chunk)
        while view:
            view = view[os.write(descriptor, view) :]


def _same(descriptor: int, offset: int, content: IO[bytes]) -> bool:
    content.seek(0)
    while chunk := content.read(_CHUNK):
        if os.pread(descriptor, len(chunk), offset) != chunk:
            return False
        offset += len(chunk)
    return True
