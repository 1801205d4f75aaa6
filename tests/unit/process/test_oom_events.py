"""The kernel's count of processes that it killed for want of memory is read as it stands."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.process import oom_events
from agent.process.oom_events import oom_kills
from tests.services.control_group import memory_group


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


#: Own group by controller ("" is version 2), the file that counts there, and how deep the group is seen.
HIERARCHIES = {
    "version 2": ({"": "/jobs/worker"}, "jobs/worker/memory.events"),
    "version 2, seen from a container": ({"": "/../other"}, "memory.events"),
    "version 2, its own root": ({"": "/"}, "memory.events"),
    "version 1": ({"memory": "/jobs/worker"}, "memory/jobs/worker/memory.oom_control"),
    "version 1, seen from a container": ({"memory": "/docker/4711"}, "memory/memory.oom_control"),
    "both, with memory in version 1": ({"": "/", "memory": "/worker"}, "memory/worker/memory.oom_control"),
}


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_the_counter_of_the_own_group_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hierarchy: str) -> None:
    groups, counter = HIERARCHIES[hierarchy]
    own = tmp_path / "own"
    own.write_text("".join(f"0:{controller}:{path}\n" for controller, path in groups.items()))
    (tmp_path / counter).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / counter).write_text("oom_kill 7\n")
    monkeypatch.setattr(oom_events, "_UNIFIED", str(tmp_path))
    monkeypatch.setattr(oom_events, "_OWN", str(own))
    fd = oom_events._counter.__wrapped__()
    assert fd is not None
    monkeypatch.setattr(oom_events, "_counter", lambda: fd)
    assert oom_kills() == 7
    os.close(fd)


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group whose processes have 48 MiB together."""
    with memory_group(48 << 20) as group:
        yield group


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
