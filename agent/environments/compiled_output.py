"""What a compiler made of one action, on the disk: a directory with a mark that is written last and removed first."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from agent.environments.sweep import remove_tree

#: Its time is that of the last use.
_DONE = ".attune_compiled"
#: Beside the outputs: held by who compiles or removes.
LOCK = "lock"


def is_complete(output: Path) -> bool:
    """Whether it may be run."""
    return (output / _DONE).exists()


def complete(output: Path) -> None:
    """Declare it complete. Raises OSError when that can't be written."""
    (output / _DONE).touch()


def note_use(output: Path) -> None:
    """Note that it is in use; a read-only volume keeps no note."""
    with contextlib.suppress(OSError):
        os.utime(output / _DONE)


def last_used(output: Path) -> float | None:
    """Return when it was last used, or begun, in seconds since 1970; None when it is gone."""
    for path in (output / _DONE, output):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return None


def outputs(folder: Path) -> Iterator[Path]:
    """Yield all of a folder, complete or not."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink())


def remove(output: Path) -> None:
    """Remove it; what dies half-way leaves nothing that counts as complete. Only the holder of the lock may."""
    (output / _DONE).unlink(missing_ok=True)
    remove_tree(output)
