"""Copy a pack to where its installer may write: packs may be read-only, and stay untouched."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

#: Below a build. Kept where what was installed refers to it.
SOURCE = ".attune_source"
#: What tools leave in a pack: it decides nothing, and would only be copied.
IGNORED = frozenset({".git", "node_modules", "__pycache__", ".venv", ".bundle", ".Rproj.user"})


def copy_pack(pack_dir: Path, target: Path) -> None:
    """Copy the pack's regular files and links; what a tool left and special files are left out.

    Raises:
        OSError: a file can't be read or written.
    """
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(os.scandir(pack_dir), key=lambda item: item.name):
        if entry.name in IGNORED:
            continue
        source, copy = Path(entry.path), target / entry.name
        if entry.is_symlink():
            if not os.path.lexists(copy):
                os.symlink(os.readlink(source), copy)
        elif entry.is_dir():
            copy_pack(source, copy)
        elif entry.is_file():
            copy_file(source, copy)


def copy_file(source: Path, target: Path) -> None:
    """Copy content and mode, and let the copy be written: a pack may be read-only, and a ``cp`` have come before.

    Raises:
        OSError: it can't be read or written.
    """
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, stat.S_IMODE(source.stat().st_mode) | stat.S_IWUSR | stat.S_IRUSR)
