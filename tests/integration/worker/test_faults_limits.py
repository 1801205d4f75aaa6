"""Too few processes, descriptors or blocks: what can wait waits, what is cut says so, and what can't start says why."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.worker.jobs import ONLY_SHELL, Jobs, wait_for_beats
from tests.services.availability import unavailable
from tests.services.deployment import Deployment
from tests.services.proxy import Proxy, broker_proxy, database_proxy, until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

_PIDS_CGROUPS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))


def test_sixty_jobs_run_at_once_although_few_files_may_be_open(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent(
        through=("prlimit", "--nofile=256:20000", "--"), ATTUNE__WORKER__MAX_CONCURRENT_TASKS="60", **ONLY_SHELL
    )
    fresh_deployment.add_action("job.limit", "#!/bin/sh\nulimit -Sn\n")
    running = [fresh_deployment.start(jobs.GATE) for _ in range(60)]
    jobs.wait_started(*running)
    jobs.release()
    assert {fresh_deployment.wait(execution_id).status for execution_id in running} == {"completed"}
    assert fresh_deployment.run("job.limit").result["stdout"] == "256\n"


@pytest.fixture
def small_disk(fresh_deployment: Deployment) -> Iterator[Path]:
    """The artifacts on a disk of 64 KiB."""
    if os.geteuid() != 0:
        unavailable("a small disk", "run as root, who may mount")
    artifacts = fresh_deployment.artifacts
    artifacts.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", artifacts], check=True)
    yield artifacts
    subprocess.run(["umount", "-l", artifacts], check=True)


def test_a_log_that_does_not_fit_is_filed_up_to_there_and_says_so(
    fresh_deployment: Deployment, small_disk: Path
) -> None:
    fresh_deployment.add_action("job.talker", "#!/bin/sh\nyes '0123456789 é' | head -c 200000\n")
    fresh_deployment.start_agent(**ONLY_SHELL)
    for _ in range(3):
        row = fresh_deployment.run("job.talker")
        assert row.status == "completed"
        assert len(row.result["stdout"].encode()) == 200_000
    versions = fresh_deployment.all("SELECT file_path, size_bytes FROM artifact_version")
    known = {small_disk / version["file_path"]: version["size_bytes"] for version in versions}
    files = [path for path in small_disk.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sorted(files) == sorted(known)
    (first, *_) = sorted(known)
    text = first.read_bytes()
    assert len(text) == known[first]
    assert text.decode().endswith("[OUTPUT TRUNCATED: this log could not be written: No space left on device]\n")


def test_a_full_disk_loses_no_completion_that_was_written_and_leaves_no_partial_file(
    fresh_deployment: Deployment, jobs: Jobs, small_disk: Path
) -> None:
    with broker_proxy(fresh_deployment.wire.url) as (broker, broker_url), _database(fresh_deployment) as database:
        agent = fresh_deployment.start_agent(
            ATTUNE__MESSAGE_QUEUE__URL=broker_url, ATTUNE__WORKER__HEARTBEAT_INTERVAL="0.1", **ONLY_SHELL
        )
        written, waiting = [jobs.begin(), jobs.begin()], jobs.begin()
        with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(b"x" * 512):
                pass
        broker.refuse()
        for execution_id in written:
            jobs.release(execution_id)
            fresh_deployment.wait(execution_id)
        wait_for_beats(fresh_deployment, 5)
        database.swallow()
        jobs.release()
        agent.wait_for_log("can't be kept on disk: [Errno 28]")
        assert not list(small_disk.rglob("*.part"))
        agent.kill()
        database.accept()
        broker.accept()
    (small_disk / "ballast").unlink()
    fresh_deployment.start_agent(ATTUNE__DATABASE__URL=fresh_deployment.database_url, **ONLY_SHELL)
    assert fresh_deployment.wait(waiting).status == "abandoned"
    for execution_id, status in ((written[0], "Completed"), (written[1], "Completed"), (waiting, "Abandoned")):
        assert {message.payload["status"] for message in jobs.completions(execution_id)} == {status}
        assert len({message.envelope["message_id"] for message in jobs.completions(execution_id)}) <= 1
        assert len(jobs.starts(execution_id)) == 1
    assert not list(small_disk.rglob("*.part"))


@contextmanager
def _database(deployment: Deployment) -> Iterator[Proxy]:
    with database_proxy(deployment.database_url) as (proxy, url):
        deployment.settings["ATTUNE__DATABASE__URL"] = url
        yield proxy


class ProcessLimit:
    """A cgroup of this test's own whose ``pids.max`` the kernel enforces, as ``--pids-limit`` of a container does."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        #: What starts a command inside.
        self.through = ("sh", "-c", f'echo $$ > {directory}/cgroup.procs; exec "$@"', "sh")

    def set(self, processes: int) -> None:
        """Allow so many processes and threads."""
        (self._directory / "pids.max").write_text(str(processes))

    @property
    def used(self) -> int:
        """How many there are."""
        return int((self._directory / "pids.current").read_text())

    @property
    def refusals(self) -> int:
        """How often the kernel has refused one more."""
        return int((self._directory / "pids.events").read_text().split()[1])


@pytest.fixture
def process_limit(fresh_deployment: Deployment) -> Iterator[ProcessLimit]:
    """A cgroup without a limit yet; what is in it ends with the test."""
    root = next((root for root in _PIDS_CGROUPS if (root / "cgroup.procs").exists()), None)
    if os.geteuid() != 0 or root is None:
        unavailable("a limit of processes", "run as root where the pids controller of cgroups is mounted")
    directory = root / f"attune-test-{os.getpid()}"
    directory.mkdir()
    if not (directory / "pids.max").exists():  # version 2, and the controller isn't passed on
        directory.rmdir()
        unavailable("a limit of processes", "enable the pids controller for child cgroups")
    yield ProcessLimit(directory)
    for agent in fresh_deployment.agents:
        agent.kill()
    for pid in (directory / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    until(lambda: not (directory / "cgroup.procs").read_text(), "the end of what was limited")
    directory.rmdir()


def test_jobs_for_which_there_is_no_process_left_wait_for_one(
    fresh_deployment: Deployment, process_limit: ProcessLimit, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    os.mkfifo(gate)
    # Nothing but what the shell itself does: a job that starts processes needs room of its own.
    fresh_deployment.add_action("job.lean", f"#!/bin/sh\necho $$ >> {started}\nread line < {gate}\n")
    agent = fresh_deployment.start_agent(through=process_limit.through, **ONLY_SHELL)
    agent.wait_for_log("is active")  # all its threads run
    process_limit.set(process_limit.used + 2)
    waiting = [fresh_deployment.start("job.lean") for _ in range(8)]
    agent.wait_for_log("waiting to start")
    until(lambda: started.exists() and len(started.read_text().split()) == 2, "as many as fit")
    with gate.open("w") as writer:
        for _ in waiting:
            writer.write("go on\n")
            writer.flush()
        rows = [fresh_deployment.wait(execution_id) for execution_id in waiting]
    assert [(row.status, row.result.get("stderr", "")) for row in rows] == [("completed", "")] * 8
    assert len(started.read_text().split()) == 8


def test_a_broker_that_is_lost_while_jobs_use_every_process_is_connected_again_when_there_is_room(
    fresh_deployment: Deployment, jobs: Jobs, process_limit: ProcessLimit
) -> None:
    with broker_proxy(fresh_deployment.wire.url) as (network, url):
        agent = fresh_deployment.start_agent(
            through=process_limit.through, ATTUNE__MESSAGE_QUEUE__URL=url, **ONLY_SHELL
        )
        agent.wait_for_log("is active")  # all its threads run
        process_limit.set(process_limit.used)
        network.cut()
        until(lambda: process_limit.refusals > 8, "attempts in vain")
        assert agent.running
        process_limit.set(100)
        jobs.assert_ran_once(fresh_deployment.start(jobs.QUICK))
        assert agent.stop() == 0


def test_all_interpreters_are_found_although_few_processes_are_allowed(
    fresh_deployment: Deployment, process_limit: ProcessLimit
) -> None:
    process_limit.set(24)
    fresh_deployment.start_agent(through=process_limit.through)
    few = fresh_deployment.one("SELECT capabilities -> 'runtimes' AS runtimes FROM worker")["runtimes"]
    process_limit.set(4)
    with fresh_deployment.another_agent("free"):
        all_ = "SELECT capabilities -> 'runtimes' AS runtimes FROM worker WHERE name = 'free'"
        found = set(fresh_deployment.one(all_)["runtimes"])
    assert found - set(few) <= {"java"}  # which alone needs as many threads as are allowed


@pytest.mark.parametrize("limit", [2, 3, 5, 8, 12, 16, 18])
def test_where_not_even_the_agent_fits_it_says_so_in_one_sentence(
    fresh_deployment: Deployment, process_limit: ProcessLimit, limit: int
) -> None:
    process_limit.set(limit)
    agent = fresh_deployment.start_agent(wait=False, through=process_limit.through, **ONLY_SHELL)
    assert agent.wait() == 1
    assert "Traceback" not in agent.log()
    said = [line for line in agent.log().splitlines() if not line.startswith("{")]
    assert [line.partition(":")[0] for line in said] == ["attune-agent", "hint"]
    assert "--pids-limit" in said[1]
