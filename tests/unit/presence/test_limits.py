"""The limits of a container as its control groups tell them, and the slots that they carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.presence.limits import Limits, read_limits, slots_for

GIB = 1 << 30
MIB = 1 << 20


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


UNIFIED = {"sys/fs/cgroup/cgroup.controllers": "cpu memory", "proc/self/cgroup": "0::/"}


def test_version_2_in_a_container(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": "150000 100000", "sys/fs/cgroup/memory.max": str(512 * MIB)}
    assert read_limits(lay_out(tmp_path, UNIFIED | files)) == Limits(1.5, 512 * MIB)


def test_version_2_without_limits(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/memory.max": "max"}
    assert read_limits(lay_out(tmp_path, UNIFIED | files)) == Limits()


def test_the_tightest_limit_of_the_groups_around_counts(tmp_path: Path) -> None:
    files = UNIFIED | {
        "proc/self/cgroup": "0::/system.slice/agent.service",
        "sys/fs/cgroup/system.slice/agent.service/cpu.max": "400000 100000",
        "sys/fs/cgroup/system.slice/agent.service/memory.max": "max",
        "sys/fs/cgroup/system.slice/cpu.max": "50000 100000",
        "sys/fs/cgroup/system.slice/memory.max": str(GIB),
    }
    assert read_limits(lay_out(tmp_path, files)) == Limits(0.5, GIB)


def test_version_1_in_a_container_that_is_told_the_path_on_its_host(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/kubepods/pod1/c1\n1:cpu,cpuacct:/kubepods/pod1/c1",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": str(GIB),
    }
    assert read_limits(lay_out(tmp_path, files)) == Limits(2.0, GIB)


def test_version_1_without_limits(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/\n1:cpu:/",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    assert read_limits(lay_out(tmp_path, files)) == Limits()


@pytest.mark.parametrize("told", ["", "nonsense", "0::/../../other", "0::/gone"])
def test_a_path_that_leads_nowhere_means_the_root_of_the_mount(tmp_path: Path, told: str) -> None:
    files = UNIFIED | {"proc/self/cgroup": told, "sys/fs/cgroup/cpu.max": "100000 100000"}
    assert read_limits(lay_out(tmp_path, files)) == Limits(1.0, None)


def test_nothing_mounted_is_no_limit(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits()


@pytest.mark.parametrize(
    ("limits", "processors", "slots"),
    [
        (Limits(), 2, 8),
        (Limits(2.0, 2 * GIB), 16, 8),
        (Limits(0.5, 512 * MIB), 16, 2),
        (Limits(8.0, 512 * MIB), 16, 7),
        (Limits(0.1, 64 * MIB), 16, 1),
        (Limits(64.0, None), 2, 8),
        (Limits(None, None), 128, 100),
    ],
)
def test_slots_follow_the_scarcer_of_processors_and_memory(limits: Limits, processors: int, slots: int) -> None:
    assert slots_for(limits, processors) == slots
