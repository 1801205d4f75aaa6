"""Where environments lie, and how one replaces another.

``<runtime_envs_dir>/<pack_ref>/<name>`` (promise: environments have stable names) is a symbolic link to a *build*,
``.<name>.<fingerprint>-<random>`` beside it. A build is made in place, because a virtual environment bakes its absolute
path into scripts and configuration and doesn't survive a rename; its marker is written last, and a directory without a
marker is used by nobody (promise: no half-built environment). Replacing is one atomic rename of the link. Executions
are given the build, not the link, so one that runs goes on with what it began with, also while it imports modules late.
Every attempt has a directory of its own: an installer that outlived a killed agent can't write into its successor.

To Attune's other workers the link is an existing environment. A directory that one of them built there is moved aside
when ours is complete: it says nothing about what it was built from.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.errors import EnvironmentFailed

log = logging.getLogger(__name__)

#: Directories belong to the group of the volume, so that containers with different users share it.
SHARED_MODE = 0o2775

_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class Layout:
    """The files of one environment name of one pack."""

    def __init__(self, runtime_envs_dir: Path, pack_ref: str, name: str) -> None:
        """Nothing is created yet.

        Raises:
            EnvironmentFailed: a name is not a plain directory name.
        """
        for part in (pack_ref, name):
            if not _COMPONENT.fullmatch(part):
                raise EnvironmentFailed(f"{part!r} is not a valid name for an environment", step="prepare directory")
        self.root = runtime_envs_dir
        self.pack = runtime_envs_dir / pack_ref
        self.link = self.pack / name
        self.lock = self.pack / f".{name}.lock"
        self.compiled = self.pack / f".{name}.compiled"
        self._prefix = f".{name}."
        self._build = re.compile(rf"\.{re.escape(name)}\.([0-9a-f]{{12}}-[0-9a-f]{{6}}|replaced-[0-9a-f]{{6}})")

    def prepare(self) -> None:
        """Make the pack's directory.

        Raises:
            OSError: it can't be made or written to.
        """
        make_shared_directory(self.pack)
        if not os.access(self.pack, os.W_OK | os.X_OK):
            raise PermissionError(13, "not writable for this user", str(self.pack))

    def new_build(self, digest: str) -> Path:
        """Name a directory for one attempt to build."""
        return self.pack / f"{self._prefix}{digest[:12]}-{secrets.token_hex(3)}"

    def builds(self) -> Iterator[Path]:
        """Yield all directories of this name, complete or not."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in sorted(os.listdir(self.pack)):
                if self._build.fullmatch(entry):
                    yield self.pack / entry

    def current(self) -> Path | None:
        """Return the build that the link points to, if it is one of ours."""
        try:
            target = self.pack / os.readlink(self.link)
        except OSError:
            return None
        return target if self._build.fullmatch(target.name) and target.is_dir() else None

    def point_to(self, build: Path) -> None:
        """Make the link point to ``build``; where the file system knows no links, only the log mentions it."""
        temporary = self.pack / f"{self._prefix}link-{secrets.token_hex(3)}"
        try:
            os.symlink(build.name, temporary)
            try:
                self._move_foreign_directory()
                os.replace(temporary, self.link)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            log.warning("can't link %s to %s: %s", self.link, build.name, error)

    def _move_foreign_directory(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(self.link).st_mode):
                aside = self.pack / f"{self._prefix}replaced-{secrets.token_hex(3)}"
                os.rename(self.link, aside)
                os.utime(aside)  # its age counts from now on


def make_shared_directory(path: Path) -> None:
    """Make ``path`` and its missing parents with mode 02775; a mode that can't be set is only a warning.

    Raises:
        OSError: a directory can't be made.
    """
    missing = []
    current = path
    while not current.is_dir() and current != current.parent:
        missing.append(current)
        current = current.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir()
            try:
                directory.chmod(SHARED_MODE)
            except OSError as error:
                log.warning("can't set the mode of %s: %s", directory, error)
    if not path.is_dir():
        raise NotADirectoryError(20, "not a directory", str(path))


def can_be_written(directory: Path) -> bool:
    """Whether files can be made in ``directory``, or it can be made itself."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return os.access(directory, os.W_OK | os.X_OK)
