"""A file system that is really full soon: a tmpfs of a few hundred kilobytes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services.availability import unavailable

SMALL = 1 << 20


@dataclass(frozen=True)
class SmallDisk:
    """It is mounted at ``path``."""

    path: Path

    def grow(self, size: int) -> None:
        """Let it have ``size`` bytes."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True, capture_output=True)


@contextmanager
def mounted(path: Path, size: int = SMALL) -> Iterator[SmallDisk]:
    """Mount one at ``path``, which is made, for the length of the block. Needs root."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        unavailable("a file system of a test's own", "run as root, with mount(8)")
    path.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        unavailable("a file system of a test's own", f"a container that may mount: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """One for a test."""
    with mounted(tmp_path / "small") as disk:
        yield disk
