"""The archives by which workers without a shared volume get packs: made when first asked for, kept while unchanged."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from agent.errors import PackError
from agent.packs.packing import PackedFile, files_of, write_archive
from agent.server.opened_file import OpenedFile, open_file

_MOST = 64
"""Archives that are kept; whoever is being sent another one still gets it whole."""
_ATTEMPTS = 3


@dataclass
class _Kept:
    files: list[PackedFile]
    path: Path


class PackArchives:
    """For any thread: an archive is made once, however many ask for it at the same time."""

    def __init__(self) -> None:
        """Make the temporary directory when it is needed."""
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        self._kept: dict[str, _Kept] = {}
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def archive_of(self, directory: Path, ref: str) -> OpenedFile:
        """Return the archive of the pack that lies in ``directory`` now.

        Raises:
            FileNotFoundError: the pack has no files.
            PackError: it holds what can't be packed, or changes again and again.
            OSError: there is no room for the archive.
        """
        with self._lock:
            making = self._making.setdefault(ref, threading.Lock())
        with making:
            files = _listed(directory)
            kept = self._kept.get(ref)
            if kept is None or kept.files != files:
                kept = self._make(directory, ref, files)
            return open_file(kept.path)

    def close(self) -> None:
        """Remove all archives."""
        with self._lock:
            if self._directory is not None:
                self._directory.cleanup()
                self._directory = None

    def _make(self, directory: Path, ref: str, files: list[PackedFile]) -> _Kept:
        for _ in range(_ATTEMPTS):
            descriptor, name = tempfile.mkstemp(prefix="pack-", suffix=".tar.gz", dir=self._place())
            path = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as target:
                    write_archive(files, ref, target)
                again = _listed(directory)
                if again == files:
                    return self._keep(ref, _Kept(files, path))
                files = again
            except FileNotFoundError:
                files = _listed(directory)  # it was replaced meanwhile, or has gone
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            path.unlink(missing_ok=True)
        raise PackError(f"the files of pack {ref} change while they are packed")

    def _keep(self, ref: str, made: _Kept) -> _Kept:
        with self._lock:
            gone = [self._kept.pop(ref, None)]
            self._kept[ref] = made
            while len(self._kept) > _MOST:
                gone.append(self._kept.pop(next(iter(self._kept))))
        for old in gone:
            if old is not None:
                old.path.unlink(missing_ok=True)
        return made

    def _place(self) -> str:
        with self._lock:
            if self._directory is None:
                self._directory = tempfile.TemporaryDirectory(prefix="attune-archives-")
            return self._directory.name


def _listed(directory: Path) -> list[PackedFile]:
    try:
        return files_of(directory)
    except NotADirectoryError:
        raise FileNotFoundError(f"{directory} is no directory") from None
