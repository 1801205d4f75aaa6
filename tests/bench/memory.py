"""What an agent costs when it has nothing to do, and what it keeps after ten thousand executions."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.bench.stack import Stack, start_agent, stop_agent
from tests.bench.throughput import cpu_seconds
from tests.bench.workload import Workload

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Footprint:
    """Resident MiB when idle and after the executions; share of a core when idle."""

    idle_mib: float
    after_mib: float
    idle_core: float


def footprint(stack: Stack, executions: int = 10_000, idle_seconds: float = 20.0) -> Footprint:
    """Watch an idle agent, then give it ``executions`` no-ops and look again."""
    agent, worker_id = start_agent(stack)
    work = Workload(stack, worker_id)
    _run(work, 100)  # caches are part of what it needs
    time.sleep(2)
    idle = resident_bytes(agent.pid)
    before, started = cpu_seconds(agent.pid), time.perf_counter()
    time.sleep(idle_seconds)
    core = (cpu_seconds(agent.pid) - before) / (time.perf_counter() - started)
    _run(work, executions)
    time.sleep(2)
    after = resident_bytes(agent.pid)
    work.close()
    stop_agent(stack, agent)
    return Footprint(idle / _MIB, after / _MIB, core)


def _run(work: Workload, count: int) -> None:
    for start in range(0, count, 1000):
        ids = work.schedule("bench.noop", min(1000, count - start))
        for execution_id in ids:
            work.dispatch(execution_id, "bench.noop")
        work.wait_for_completions(len(ids))
        work.purge()


def resident_bytes(pid: int, field: str = "VmRSS") -> int:
    """Resident set of a process now, or at its peak (``VmHWM``); proc(5)."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field}")
