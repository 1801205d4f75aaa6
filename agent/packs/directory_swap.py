"""Replaces one directory by another in a single step, so that nobody ever finds neither (renameat2(2))."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# A file system or kernel that can't swap: EINVAL, ENOSYS, EOPNOTSUPP; EPERM under a seccomp filter; EXDEV for a
# directory that comes with the container's image.
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV)


def swap_directories(new: Path, place: Path) -> None:
    """Make ``new`` the directory ``place``; what was there is afterwards where ``new`` was.

    Both lie in the same file system.

    Raises:
        OSError: a rename was refused.
    """
    if not os.path.lexists(place):
        new.rename(place)
    elif not _swapped(new, place):
        _replace(new, place)


def _replace(new: Path, place: Path) -> None:
    """Do without the system call: there is a moment without the directory."""
    old = new.with_name(f"{new.name}.old")
    try:
        place.rename(old)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.rmtree(place)  # it can't be moved: overlay file systems don't rename directories of an image
    try:
        new.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise


def _swapped(first: Path, second: Path) -> bool:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(first), os.fsencode(second)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_RENAME_EXCHANGE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(second))
