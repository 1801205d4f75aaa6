"""A container without an engine: a directory as root, namespaces of its own, mounts and a user as asked for."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.services.availability import unavailable


@dataclass
class Room:
    """One root directory. ``mounts`` are lines for the shell that sets it up; ``$ROOT`` is the directory."""

    root: Path
    user: int = 0
    group: int = 0
    read_only: bool = False
    proc: bool = False
    mounts: list[str] = field(default_factory=list)

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command that runs ``argv`` inside, as PID 1."""
        lines = ["set -e", f"ROOT={shlex.quote(str(self.root))}", "mount --make-rprivate /"]
        lines += ["mount --rbind $ROOT $ROOT"]
        if self.read_only:
            lines.append("mount -o remount,bind,ro $ROOT")
        lines += self.mounts
        if self.proc:
            lines.append("mount -t proc proc $ROOT/proc")
        inside = shlex.join(str(word) for word in argv)
        lines.append(f"exec chroot --userspec={self.user}:{self.group} --groups= $ROOT {inside}")
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", "\n".join(lines)]

    def run(self, *argv: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``argv`` inside and return what it did."""
        return subprocess.run(
            self.command(argv), capture_output=True, text=True, env=env or {}, timeout=60, check=False
        )

    def start(self, *argv: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start ``argv`` inside."""
        return subprocess.Popen(
            self.command(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env or {}
        )

    def put(self, file: Path, path: str, mode: int = 0o555) -> Path:
        """Copy a file inside and return its path outside."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(mode)
        return target


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """A root directory with nothing but /dev/null. Needs root, because it mounts."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        unavailable("a root directory of its own", "run as root, with unshare(1)")
    root = tmp_path / "room"
    root.mkdir()
    root.chmod(0o755)
    (root / "dev").mkdir()
    os.mknod(root / "dev" / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (root / "dev" / "null").chmod(0o666)
    return Room(root)
