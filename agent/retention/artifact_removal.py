"""Files of what is gone: removed below the directory of artifacts, whatever a row or a link says.

Every directory on the way is opened without following links, and a file is removed from the directory that was opened:
jobs may exchange any part of a path at any moment. A name that leads out of the directory is left alone and counted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from agent.reading.beneath import Directory, is_inside

_EXECUTION = re.compile(r"execution_(\d{1,19})")
#: A version's file, a log that came over HTTP, and what a server was writing when it ended.
_VERSION = re.compile(r"(v\d{1,10}|e\d{1,19})(\.[A-Za-z0-9_-]{1,20})?|\.[0-9a-f]{32}\.new")
_TOGETHER = 500
Item = TypeVar("Item")

Known = Callable[[list[str]], Collection[str]]
"""Returns which of some paths a row names."""
KnownIds = Callable[[list[int]], Collection[int]]
"""Returns which of some executions exist."""


class ArtifactRemoval:
    """Removes files and directories below ``root``; where it is missing there is nothing to remove."""

    def __init__(self, root: Path) -> None:
        """``root`` is the directory of artifacts."""
        self._root = root

    def files(self, paths: Iterable[str]) -> tuple[int, int]:
        """Remove files and the directories that they leave empty; return how many there were, and their bytes."""
        number = size = 0
        with self._opened() as root:
            for path in paths if root is not None else ():
                assert root is not None, "there is nothing to go through without it"
                found = _removed(root, path) if _is_ours(path) else None
                if found is not None:
                    number, size = number + 1, size + found
        return number, size

    def executions(self, ids: Iterable[int]) -> int:
        """Remove the directories ``execution_<id>``; return how many there were."""
        with self._opened() as root:
            if root is None:
                return 0
            return sum(_tree_removed(root.fd, f"execution_{one}") for one in ids)

    def orphans(
        self, grace: float, known: Known, known_ids: KnownIds, *, dry_run: bool = False, stop: Callable[[], bool]
    ) -> tuple[int, int]:
        """Remove what no row names and nobody has touched for ``grace`` seconds; return directories and files.

        Looked for are directories of executions, and files that are called as versions are. Everything else that lies
        there is somebody's.
        """
        with self._opened() as root:
            if root is None:
                return 0, 0
            before = time.time() - grace
            directories = 0
            for ids in _grouped(_old_executions(root.fd, before)):
                gone = set(ids) - set(known_ids(ids))
                directories += len(gone) if dry_run else sum(_tree_removed(root.fd, f"execution_{one}") for one in gone)
                if stop():
                    return directories, 0
            files = 0
            for paths in _grouped(_old_versions(root.fd, before)):
                lost = sorted(set(paths) - set(known(paths)))
                files += len(lost) if dry_run else sum(_removed(root, path) is not None for path in lost)
                if stop():
                    break
            return directories, files

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Directory | None]:
        try:
            root = Directory(self._root)
        except OSError:
            yield None
            return
        with root:
            yield root


def _is_ours(path: str) -> bool:
    """A row may name anything: nothing outside, and not what executions and this program keep beside artifacts."""
    first = path.split("/", 1)[0]
    return is_inside(path) and not first.startswith((".", "_pending")) and not _EXECUTION.fullmatch(first)


def _removed(root: Directory, path: str) -> int | None:
    """Remove one regular file; return its size, None where there is none."""
    folder, _, name = path.rpartition("/")
    try:
        with root.folder(folder) if folder else contextlib.nullcontext(root.fd) as fd:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                return None
            os.unlink(name, dir_fd=fd)
    except (OSError, ValueError):
        return None
    _remove_empty(root, folder)
    return found.st_size


def _remove_empty(root: Directory, folder: str) -> None:
    while folder:
        above, _, name = folder.rpartition("/")
        try:
            with root.folder(above) if above else contextlib.nullcontext(root.fd) as fd:
                os.rmdir(name, dir_fd=fd)
        except (OSError, ValueError):
            return
        folder = above


def _tree_removed(root: int, name: str) -> bool:
    """Remove a directory; what a job exchanged for a link is unlinked as such."""
    try:
        found = os.stat(name, dir_fd=root, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(name, dir_fd=root)
        else:
            os.unlink(name, dir_fd=root)
    except OSError:
        return False
    return True


def _old_executions(root: int, before: float) -> Iterator[int]:
    with os.scandir(root) as entries:
        for entry in entries:
            match = _EXECUTION.fullmatch(entry.name)
            if match and int(match[1]) < 2**63 and _newest(entry) < before:
                yield int(match[1])


def _newest(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return time.time()


def _old_versions(root: int, before: float) -> Iterator[str]:
    for folder, names, files, fd in os.fwalk(".", dir_fd=root, follow_symlinks=False):
        if folder == ".":
            names[:] = [name for name in names if _is_ours(name)]
        for name in files:
            if not _VERSION.fullmatch(name):
                continue
            with contextlib.suppress(OSError):
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and max(found.st_mtime, found.st_ctime) < before:
                    yield os.path.normpath(os.path.join(folder, name))


def _grouped(items: Iterable[Item]) -> Iterator[list[Item]]:
    group: list[Item] = []
    for item in items:
        group.append(item)
        if len(group) == _TOGETHER:
            yield group
            group = []
    if group:
        yield group
