"""Too few processes, descriptors or blocks: what can wait waits, what is cut says so, and what can't start says why."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.availability import unavailable
from tests.services.deployment import Deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


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
