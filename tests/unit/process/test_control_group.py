"""A job's processes are counted by the kernel where a group can be made for it; where not, it is said why."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.process import control_group, supervisor
from agent.process.control_group import JOB_GROUPS, JobGroups
from agent.process.job_limits import JobLimits
from agent.process.request import Ending
from tests.unit.process.test_job_limits import run_limited

#: Lines of /proc/self/cgroup, and where under the mount the own group then lies.
LAYOUTS = {
    "version 1": ("5:pids:/jobs/worker", "pids/jobs/worker", False),
    "version 1, seen from a container": ("5:pids,misc:/docker/4711", "pids", False),
    "version 2": ("0::/jobs/worker", "jobs/worker", True),
    "version 2, seen from a container": ("0::/", "", True),
    "version 2, of which only a part is seen": ("0::/../../other", "", True),
    "both, and version 2 counts": ("4:memory:/\n0::/worker", "unified/worker", True),
}


@pytest.fixture(params=LAYOUTS)
def group(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process's own group, in a tree of files such as the kernel shows them."""
    lines, place, unified = LAYOUTS[request.param]
    own = tmp_path / "mount" / place
    own.mkdir(parents=True)
    (own / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    if unified:
        (own / "cgroup.controllers").write_text("cpu pids\n")
        (own / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup").write_text(f"{lines}\n")
    monkeypatch.setattr(control_group, "_MOUNT", tmp_path / "mount")
    monkeypatch.setattr(control_group, "_OWN", tmp_path / "cgroup")
    return own


def test_a_job_gets_a_group_below_our_own_with_its_limit(group: Path) -> None:
    groups = JobGroups()
    assert groups.open() is None
    assert groups.open() is None
    assert groups.limit(4711, processes=5) == {"pids"}
    groups.join(4711, [4712])
    (made,) = group.glob("attune-job-*")
    assert (made / "pids.max").read_text() == "5"
    assert (made / "cgroup.procs").read_text() == "4712\n"  # the kernel appends
    assert not groups.was_full(4711)
    (made / "pids.events").write_text("max 3\n")
    assert groups.was_full(4711)
    (made / "cgroup.kill").write_text("")
    groups.end(4711)
    assert (made / "cgroup.kill").read_text() == "1"
    groups.end(4711)


def test_in_version_2_the_agent_leaves_its_group_first(group: Path) -> None:
    assert JobGroups().open() is None
    asides = list(group.glob("attune-agent-*"))
    if not (group / "cgroup.subtree_control").exists():
        assert asides == []
        return
    (aside,) = asides
    assert (aside / "cgroup.procs").read_text() == f"{os.getpid()}\n"
    assert (group / "cgroup.subtree_control").read_text() == "+pids"


def test_memory_is_kept_where_version_2_shares_it_out(group: Path) -> None:
    groups = JobGroups()
    assert groups.open("pids", "memory") is None
    unified = (group / "cgroup.subtree_control").exists()
    assert groups.limit(4711, processes=5, memory=1 << 20) == ({"pids", "memory"} if unified else {"pids"})
    (made,) = group.glob("attune-job-*")
    assert (made / "memory.max").exists() == unified
    assert not groups.ran_out_of_memory(4711)
    if unified:
        assert ((made / "memory.max").read_text(), (made / "memory.oom.group").read_text()) == ("1048576", "1")
        (made / "memory.events").write_text("low 0\noom 0\noom_kill 2\n")
        assert not groups.ran_out_of_memory(4711)  # the kernel took it because of somebody else
        (made / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
        assert groups.ran_out_of_memory(4711)


def test_version_1_is_not_asked_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_group, "_MOUNT", tmp_path)
    monkeypatch.setattr(control_group, "_OWN", tmp_path / "cgroup")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (tmp_path / "cgroup").write_text("4:memory:/\n")
    assert "in no control group" in str(JobGroups().open("memory"))


def test_where_none_can_be_made_it_says_why_and_jobs_run_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_group, "_MOUNT", tmp_path)
    monkeypatch.setattr(control_group, "_OWN", tmp_path / "cgroup")
    groups = JobGroups()
    assert "No such file" in str(groups.open())
    (tmp_path / "cgroup").write_text("0::/\n")
    assert "in no control group" in str(groups.open())
    assert not groups.limit(4711, processes=5)
    groups.join(4711, [4712])
    assert not groups.was_full(4711)
    groups.end(4711)


def test_one_that_is_not_delegated_stays_as_it_was(group: Path) -> None:
    """The kernel refuses to share out a group in which others are, too."""
    if not (group / "cgroup.subtree_control").exists():
        pytest.skip("version 1 lets processes and groups lie side by side")
    (group / "cgroup.subtree_control").unlink()
    (group / "cgroup.subtree_control").mkdir()
    assert "cgroup.subtree_control" in str(JobGroups().open())
    assert (group / "cgroup.procs").read_text() == f"{os.getpid()}\n"


# --- with the kernel ---


@pytest.fixture
def real_groups() -> Iterator[None]:
    """Groups of the kernel, below the one of this process."""
    if (why := JOB_GROUPS.open("pids", "memory")) is not None:
        pytest.skip(f"no control groups can be made here: {why}")
    yield
    JOB_GROUPS.__init__()  # type: ignore[misc]


#: Not before the job is in its group: it waits until it sees that itself.
WAIT = "while 'attune-job-' not in open('/proc/self/cgroup').read(): pass\n"
FORK = "import os, time\nfor n in range(20):\n    try:\n        if os.fork() == 0: time.sleep(600)\n"
FORK += "    except OSError: os.write(1, b'%d' % n); os._exit(3)\n"


@pytest.mark.usefixtures("real_groups")
def test_the_kernel_refuses_a_job_more_processes_than_it_may_have(tmp_path: Path) -> None:
    outcome, out = run_limited(WAIT + FORK, JobLimits(processes=6), cwd=tmp_path)
    assert (outcome.ending, outcome.exit_code, out) == (Ending.EXIT, 3, "5")
    assert outcome.reason == "Execution was refused another process: worker.limits.processes allows 6"


@pytest.mark.usefixtures("real_groups")
def test_the_group_of_a_job_goes_with_it(tmp_path: Path) -> None:
    base = JOB_GROUPS._base
    assert base is not None
    before = set(base.glob("attune-job-*"))
    run_limited("pass", JobLimits(processes=2), cwd=tmp_path)
    assert set(base.glob("attune-job-*")) <= before


@pytest.mark.usefixtures("real_groups")
def test_a_job_that_copes_with_the_limit_completes(tmp_path: Path) -> None:
    outcome, _ = run_limited(WAIT + FORK.replace("_exit(3)", "_exit(0)"), JobLimits(processes=6), cwd=tmp_path)
    assert (outcome.exit_code, outcome.reason) == (0, "")


@pytest.mark.usefixtures("real_groups")
@pytest.mark.parametrize("forks", [0, 3])
def test_the_kernel_kills_a_job_with_all_its_processes_for_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: int
) -> None:
    if "memory" not in JOB_GROUPS._keeps:
        pytest.skip("no control group of version 2 is delegated here that keeps memory")
    monkeypatch.setattr(supervisor, "memory_of", lambda *_: pytest.fail("nobody has to look"))
    hog = f"import os, time\n{WAIT}for _ in range({forks}):\n    if os.fork() == 0: time.sleep(600)\n"
    hog += "kept = bytearray(b'x') * (200 << 20)\ntime.sleep(600)"
    outcome, _ = run_limited(hog, JobLimits(memory=100 << 20), cwd=tmp_path)
    fine, out = run_limited("kept = bytes(10 << 20); print('fine')", JobLimits(memory=100 << 20), cwd=tmp_path)
    assert outcome.ending is Ending.OUT_OF_MEMORY
    assert outcome.reason == "it needed more memory, worker.limits.memory allows 100 MiB"
    assert (fine.ending, fine.exit_code, out) == (Ending.EXIT, 0, "fine\n")


#: Any controller that version 2 has here shows how it moves and shares out.
UNIFIED = [
    path for path in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")) if (path / "cgroup.controllers").exists()
]

STEPS = """
import os, subprocess, sys
from pathlib import Path
from agent.process.control_group import JobGroups
group, controller = Path(sys.argv[1]), sys.argv[2]
(group / "cgroup.procs").write_text(str(os.getpid()))
print(JobGroups().open(controller))
print(Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition("/")[2].startswith("attune-agent-"))
print((group / "cgroup.subtree_control").read_text().split())
"""


def test_in_a_group_of_version_2_of_its_own_it_steps_aside_for_real() -> None:
    if not UNIFIED or os.geteuid() != 0:
        pytest.skip("no control groups of version 2 are mounted, or they are not ours")
    controllers = (UNIFIED[0] / "cgroup.controllers").read_text().split()
    group = UNIFIED[0] / f"attune-test-{os.getpid()}"
    try:
        (UNIFIED[0] / "cgroup.subtree_control").write_text(f"+{controllers[0]}")
        group.mkdir()
    except (OSError, IndexError) as error:
        pytest.skip(f"nothing can be shared out here: {error}")
    try:
        words = [sys.executable, "-c", STEPS, str(group), controllers[0]]
        said = subprocess.check_output(words, text=True).splitlines()
        assert said == ["None", "True", str([controllers[0]])]
    finally:
        for left in (*group.glob("*/"), group):
            left.rmdir()
