"""What the machine does to an agent: a full disk, a clock that is set."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults.jobs import QUICK
from tests.faults.site import Site, Skipped
from tests.services.agent_process import AgentProcess
from tests.services.proxy import until

_HOUR = 3600
#: Starts what follows with an /etc of its own, in which a library is named that every program loads first.
_PRELOAD = """
set -e
mount -t tmpfs tmpfs "$0"; mkdir "$0/upper" "$0/work"
echo "$1" >"$0/upper/ld.so.preload"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$0/upper,workdir=$0/work" /etc
shift; exec "$@"
"""


def disk_full(site: Site) -> None:
    """Artifacts on a full disk, the broker away, and then a crash. Needs root, which mounts."""
    if os.geteuid() != 0:
        raise Skipped("needs root, who mounts")
    artifacts = site.directory / "artifacts"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", artifacts], check=True)
    try:
        agent = site.start_agent()
        with suppress(OSError), (artifacts / "ballast").open("wb") as ballast:
            ballast.write(b"x" * 1_000_000)
        ids = site.submit(30)
        site.wait_running(ids, 3)
        site.broker.refuse()
        time.sleep(2)
        agent.kill()
        site.broker.accept()
        site.start_agent()
        (artifacts / "ballast").unlink()
        site.healed()
        site.wait_ended()
        for agent in site.agents:
            if agent.running:
                agent.stop()
        subprocess.run(["cp", "-a", f"{artifacts}/.", f"{site.directory}/kept"], check=True)
    finally:
        subprocess.run(["umount", "-l", artifacts], check=True)
        kept = site.directory / "kept"
        if kept.exists():
            artifacts.rmdir()
            kept.rename(artifacts)


def clock_set(site: Site) -> None:
    """The clock is set ahead, far back and right again, and once more while messages wait and the agent is killed.

    Needs root, which mounts: an agent gets its own /etc, whose ld.so.preload also the one-file program obeys.
    """
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        raise Skipped("needs the Debian package libfaketime")
    if os.geteuid() != 0:
        raise Skipped("needs root, who mounts")
    clock, etc = site.directory / "clock", site.directory / "etc"
    etc.mkdir()
    preloading = ("unshare", "--mount", "sh", "-c", _PRELOAD, str(etc), str(libraries[0]))
    site.program = replace(site.program, argv=(*preloading, *site.program.argv))
    fake = {
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # as the kernel does, which sets only the clock of the day
        "NO_FAKE_STAT": "1",
    }
    _set(clock, 0)
    agent = site.start_agent(**fake)
    assert "libfaketime" in Path(f"/proc/{agent.pid}/maps").read_text()
    for offset in (_HOUR, -2 * _HOUR, 24 * _HOUR, 0):
        ids = site.submit(20, QUICK)
        _set(clock, offset)
        site.wait_ended(ids)
        _wait_for_clock(site, agent, offset)
    _set(clock, _HOUR)
    ids = site.submit(40)
    site.wait_running(ids, 2)
    site.broker.refuse()
    time.sleep(2)
    agent.kill()
    _set(clock, -2 * _HOUR)
    site.database.expire()
    site.broker.accept()
    site.start_agent(**fake)
    site.healed()


def _set(clock: Path, offset: int) -> None:
    """Let what reads this clock be so many seconds off from now on."""
    fresh = clock.with_suffix(".fresh")
    fresh.write_text(f"{offset:+d}\n")
    fresh.rename(clock)


def _wait_for_clock(site: Site, agent: AgentProcess, offset: int) -> None:
    """Wait until the agent tells the time by the clock that was set."""

    def told() -> bool:
        site.wait_ended(site.submit(1, QUICK))
        at = datetime.fromisoformat(agent.records()[-1]["timestamp"])
        return abs(at - datetime.now(UTC) - timedelta(seconds=offset)) < timedelta(minutes=5)

    until(told, "the agent's time")
