"""A place for temporary files, found when the first one is needed: nothing else needs a writable file system.

Promise: no writable place is required.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.errors import InvalidExecution


def scratch_candidates(setting: Path | None, environ: Mapping[str, str], artifacts_dir: Path) -> list[str]:
    """Return where temporary files may lie, best first."""
    named = [str(setting) if setting is not None else None, environ.get("TMPDIR")]
    usual = ["/tmp", "/var/tmp", str(artifacts_dir), "/dev/shm"]  # noqa: S108 - files are made by mkstemp
    return list(dict.fromkeys(place for place in (*named, *usual) if place))


class Scratch:
    """Makes files that only the job's user can read."""

    def __init__(self, candidates: Sequence[str], *, owner: str = "job") -> None:
        """The first of ``candidates`` that can be written is used; ``owner`` is part of each file's name."""
        self.candidates = tuple(candidates)
        self._prefix = f"attune-{owner}-"

    def write(self, data: bytes, *, suffix: str = "", mode: int = 0o400) -> str:
        """Write a new file and return its path; the caller removes it.

        Raises:
            InvalidExecution: no candidate can be written; the message names each with its reason.
        """
        reasons = []
        for directory in self.candidates:
            try:
                return _write(directory, data, (self._prefix, suffix), mode)
            except OSError as error:
                reasons.append(f"{directory}: {error.strerror or error}")
        raise InvalidExecution(
            f"this execution needs a temporary file, but no directory is writable ({'; '.join(reasons)})",
            hint="mount a writable volume and name it in worker.scratch_dir",
        )

    def first_writable(self) -> Path | None:
        """Return the first directory that can be written, None where there is none."""
        for directory in self.candidates:
            with contextlib.suppress(OSError):
                os.unlink(_write(directory, b"", (self._prefix, ""), 0o600))
                return Path(directory)
        return None

    def sweep(self) -> None:
        """Remove what the previous process of this owner could not: parameter files may hold secrets."""
        for directory in self.candidates:
            with contextlib.suppress(OSError), os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name.startswith(self._prefix) and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                        with contextlib.suppress(OSError):
                            os.unlink(entry.path)


def _write(directory: str, data: bytes, name: tuple[str, str], mode: int) -> str:
    fd, path = tempfile.mkstemp(prefix=name[0], suffix=name[1], dir=directory)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    return path
