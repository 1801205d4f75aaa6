"""The doctor reads the kernel's limits as they are written in containers of both control group versions."""

from pathlib import Path

import pytest

from agent.doctor import container
from agent.doctor.container import check_container, check_limits
from agent.doctor.finding import Finding, Severity
from agent.settings import LimitSettings


def examine(root: Path, files: dict[str, str], **environ: str) -> dict[str, Finding]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {finding.check: finding for finding in check_container(environ, root)}


STATUS = {"proc/self/status": "Name:\tagent\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"}
VERSION_2 = STATUS | {"sys/fs/cgroup/cgroup.controllers": "memory pids\n"}


def test_a_container_without_limits_is_fine(tmp_path: Path) -> None:
    files = VERSION_2 | {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/pids.max": "max\n"}
    found = examine(tmp_path, files, HOME=str(tmp_path))
    assert {finding.verdict for finding in found.values()} == {Severity.OK}
    assert found["cgroup"].detail == "version 2"
    assert found["capabilities"].detail.startswith("none, no new privileges")
    assert found["seccomp"].detail == "filter"


def test_tight_limits_come_with_a_remedy(tmp_path: Path) -> None:
    files = VERSION_2 | {
        "sys/fs/cgroup/memory.max": "67108864\n",
        "sys/fs/cgroup/pids.max": "20\n",
        "sys/fs/cgroup/memory.oom.group": "1\n",
    }
    found = examine(tmp_path, files, HOME=f"{tmp_path}/absent")
    assert [name for name, item in found.items() if item.verdict is Severity.WARN] == ["home", "memory", "oom", "pids"]
    assert found["memory"].detail == "limit 64 MB"
    assert all(item.remedy for item in found.values() if item.verdict is Severity.WARN)


def test_version_1_without_a_limit_is_no_limit(tmp_path: Path) -> None:
    found = examine(tmp_path, STATUS | {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"})
    assert (found["cgroup"].detail, found["memory"].detail) == ("version 1", "no limit")


@pytest.mark.parametrize("check", ["cgroup", "seccomp", "capabilities"])
def test_without_proc_and_sys_it_says_that_it_does_not_know(tmp_path: Path, check: str) -> None:
    assert examine(tmp_path, {})[check].verdict is Severity.UNKNOWN


def test_a_limit_that_nobody_keeps_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "why_no_groups", lambda: "/sys/fs/cgroup: Read-only file system")
    assert list(check_limits(LimitSettings(memory=1 << 30, open_files=64, cpu_seconds=60))) == []
    assert [found.verdict for found in check_limits(LimitSettings(processes=10))] == [Severity.WARN]
    monkeypatch.setattr(container, "why_no_groups", lambda: None)
    assert list(check_limits(LimitSettings(processes=10))) == []
