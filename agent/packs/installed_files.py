"""Puts a pack's files where workers look for them: copied beside the final place, then swapped in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.errors import PackError
from agent.packs.directory_swap import swap_directories

_LEFT_OUT = ("__pycache__", ".git", ".venv")


@dataclass(frozen=True)
class Staged:
    """A pack's files, ready to take their place. ``copy`` is None when they are there already."""

    place: Path
    copy: Path | None

    def put_in_place(self) -> None:
        """Make the copy the pack's directory; whoever has the old one open keeps it.

        Raises:
            PackError: the directory can't be replaced.
        """
        if self.copy is None:
            return
        try:
            swap_directories(self.copy, self.place)
        except OSError as error:
            raise PackError(f"can't replace {self.place}: {error.strerror}") from error


@contextmanager
def staged(source: Path, base: Path, ref: str) -> Iterator[Staged]:
    """Copy the pack in ``source`` beside ``base/ref`` for the length of the block, unless it already is that directory.

    What is left of the copy, or of the version that it replaced, is removed at the end.

    Raises:
        PackError: the files can't be read or copied, or are not files that a pack may hold.
    """
    place = base / ref
    if place.exists() and source.resolve() == place.resolve():
        yield Staged(place, None)
        return
    _check(source)
    try:
        base.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{ref}.", suffix=".new", dir=base))
    except OSError as error:
        raise PackError(
            f"can't write to {base}: {error.strerror}", hint="set packs_base_dir (ATTUNE__PACKS_BASE_DIR)"
        ) from error
    try:
        copy = temporary / ref
        try:
            shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        except (OSError, shutil.Error) as error:
            raise PackError(f"can't copy {source} to {base}: {error}") from error
        yield Staged(place, copy)
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)


def _check(source: Path) -> None:
    """Refuse what can't be copied or would lead elsewhere from its new place."""
    root = source.resolve()
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        for name in (*folders, *files):
            path = Path(folder) / name
            if path.is_symlink():
                absolute = os.path.isabs(os.readlink(path))
                if absolute or not path.resolve().is_relative_to(root):
                    raise PackError(f"{path} is a symbolic link that leads out of the pack")
            elif not path.is_file() and not path.is_dir():
                raise PackError(f"{path} is neither a file nor a directory")
