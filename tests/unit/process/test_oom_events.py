"""The kernel's count of processes that it killed for want of memory is read as it stands."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.process import oom_events
from agent.process.oom_events import oom_kills
from tests.services.waiting import until


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5),
        ("low 0\n", 0),
        ("oom_kill many\n", 0),
    ],
)
def test_the_count_of_either_version_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int
) -> None:
    (tmp_path / "events").write_text(text)
    fd = os.open(tmp_path / "events", os.O_RDONLY)
    monkeypatch.setattr(oom_events, "_counter", lambda: fd)
    assert [oom_kills(), oom_kills()] == [count, count]
    os.close(fd)


def test_where_nothing_counts_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oom_events, "_counter", lambda: None)
    assert oom_kills() == 0


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group, of either version, whose processes have 48 MiB together."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    base = Path("/sys/fs/cgroup") if unified else Path("/sys/fs/cgroup/memory")
    group = base / f"attune-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (group / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(48 << 20))
    except OSError as error:
        group.rmdir()
        pytest.skip(f"memory can't be limited in a control group here: {error}")
    try:
        yield group
    finally:
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_a_process_that_the_kernel_kills_for_want_of_memory_is_counted(small_group: Path) -> None:
    script = (
        "import os, subprocess, sys\n"
        f"open({str(small_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        "from agent.process.oom_events import oom_kills\n"
        "before = oom_kills()\n"
        'hog = \'open("/proc/self/oom_score_adj", "w").write("500"); kept = bytearray(b"x") * (400 << 20)\'\n'
        "ended = subprocess.run([sys.executable, '-I', '-S', '-c', hog])\n"
        "print(ended.returncode, oom_kills() - before)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True, timeout=60) == "-9 1\n"
