"""What a job may use is kept: open files and processor time by the kernel, memory by looking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.process.cancellation import CancellationToken
from agent.process.job_limits import JobLimits, memory_of
from agent.process.job_mark import JobMark
from agent.process.request import Ending, ProcessOutcome, ProcessRequest
from agent.process.supervisor import run

MIB = 1 << 20
#: A job is limited right after its start, while it runs.
LIMITED = "import resource as r\nwhile r.getrlimit(r.RLIMIT_CPU)[0] != 7: pass\n"


def run_limited(script: str, limits: JobLimits, *, cwd: Path, timeout: float = 60.0) -> tuple[ProcessOutcome, str]:
    """Run a Python program as a job under limits; return its outcome and what it printed on either stream."""
    out: list[bytes] = []
    argv = [sys.executable, "-I", "-S", "-c", script]
    mark = JobMark("ATTUNE_EXEC_ID=limits")
    request = ProcessRequest(argv, {}, str(cwd), b"", timeout, out.append, out.append, mark, 1.0, limits)
    stop = CancellationToken()
    try:
        return run(request, stop), b"".join(out).decode()
    finally:
        stop.close()


def test_a_job_that_uses_too_much_memory_is_killed_and_says_so(tmp_path: Path) -> None:
    script = "import time\nkept = bytearray(b'x') * (200 << 20)\ntime.sleep(600)"
    outcome, _ = run_limited(script, JobLimits(memory=100 * MIB), cwd=tmp_path)
    assert (outcome.ending, outcome.signal) == (Ending.OUT_OF_MEMORY, signal.SIGKILL)
    assert "worker.limits.memory allows 100 MiB" in outcome.reason


def test_the_memory_of_all_processes_of_a_job_counts(tmp_path: Path) -> None:
    script = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        break\n"
        "kept = bytearray(b'x') * (60 << 20)\n"
        "time.sleep(600)"
    )
    outcome, _ = run_limited(script, JobLimits(memory=150 * MIB), cwd=tmp_path)
    assert outcome.ending is Ending.OUT_OF_MEMORY


def test_a_job_below_its_limit_of_memory_ends_by_itself(tmp_path: Path) -> None:
    outcome, out = run_limited("kept = bytes(10 << 20); print('fine')", JobLimits(memory=500 * MIB), cwd=tmp_path)
    assert (outcome.ending, outcome.exit_code, out) == (Ending.EXIT, 0, "fine\n")


def test_a_hundred_thousand_files_are_not_opened(tmp_path: Path) -> None:
    script = (
        f"{LIMITED}opened = []\n"
        "try:\n    for _ in range(100_000): opened.append(open('/dev/null'))\n"
        "except OSError as e: print(e.errno, len(opened) < 32)"
    )
    outcome, out = run_limited(script, JobLimits(open_files=32, cpu_seconds=7), cwd=tmp_path)
    assert (outcome.exit_code, out) == (0, "24 True\n")


def test_no_limit_of_a_job_can_be_raised_by_it(tmp_path: Path) -> None:
    script = f"{LIMITED}print(r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CPU))"
    _, out = run_limited(script, JobLimits(open_files=32, cpu_seconds=7), cwd=tmp_path)
    assert out == "(32, 32) (7, 12)\n"


def test_processor_time_has_an_end(tmp_path: Path) -> None:
    outcome, _ = run_limited("while True: pass", JobLimits(cpu_seconds=1), cwd=tmp_path)
    assert (outcome.ending, outcome.signal) == (Ending.SIGNAL, signal.SIGXCPU)


def test_what_a_job_has_started_already_is_limited_too(tmp_path: Path) -> None:
    script = "import resource, sys\nsys.stdin.read()\nprint(resource.getrlimit(resource.RLIMIT_NOFILE))"
    parent = (
        f"import subprocess as s, sys\nc = s.Popen([sys.executable, '-c', {script!r}], stdin=s.PIPE)\n"
        "print('started', flush=True)\nsys.stdin.read()\nc.communicate()"
    )
    argv = [sys.executable, "-c", parent]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0) as leader:
        assert leader.stdin is not None
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"started\n"
        JobLimits(open_files=50).apply(leader.pid, None)
        leader.stdin.close()
        assert leader.stdout.read() == b"(50, 50)\n"


def test_a_process_that_has_gone_is_no_trouble() -> None:
    gone = subprocess.Popen(["/bin/true"], process_group=0)
    gone.wait()
    JobLimits(open_files=10).apply(gone.pid, None)
    assert memory_of(gone.pid, None) == 0


@pytest.mark.parametrize("limits", [JobLimits(), JobLimits(memory=1 << 34, open_files=64, cpu_seconds=60)])
def test_a_bounded_fork_bomb_ends_with_its_job(tmp_path: Path, limits: JobLimits) -> None:
    script = (
        "import os, time\n"
        "for _ in range(6): os.fork()\n"  # 64 processes
        "open(str(os.getpid()), 'w').close()\n"
        "time.sleep(600)"
    )
    outcome, _ = run_limited(script, limits, cwd=tmp_path, timeout=1.0)
    assert outcome.ending is Ending.TIMEOUT
    left = [pid for pid in os.listdir(tmp_path) if os.path.exists(f"/proc/{pid}") and _state(pid) != "Z"]
    assert left == []


def test_writing_after_the_streams_are_closed_harms_nobody(tmp_path: Path) -> None:
    script = "import os\nos.close(1); os.close(2)\ntry: os.write(1, b'x')\nexcept OSError: os._exit(3)"
    outcome, out = run_limited(script, JobLimits(memory=500 * MIB), cwd=tmp_path)
    assert (outcome.exit_code, out) == (3, "")


def _state(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
