"""A control group of a test's own, with little memory; needs root, and a hierarchy that counts memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.services.waiting import until

UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """Make a group, of either version, whose processes have ``limit`` bytes together; it is gone afterwards."""
    base = Path("/sys/fs/cgroup") if UNIFIED else Path("/sys/fs/cgroup/memory")
    group = base / f"attune-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (group / ("memory.max" if UNIFIED else "memory.limit_in_bytes")).write_text(str(limit))
    except OSError as error:
        group.rmdir()
        pytest.skip(f"memory can't be limited in a control group here: {error}")
    try:
        yield group
    finally:
        until(lambda: _is_empty(group))
        group.rmdir()


def _is_empty(group: Path) -> bool:
    """Kill what a test that failed has left in it."""
    left = (group / "cgroup.procs").read_text().split()
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    return not left


def inside(group: Path) -> tuple[str, ...]:
    """Return a command that starts the command which follows it in ``group``."""
    return ("/bin/sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
