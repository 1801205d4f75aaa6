"""How many no-op executions one agent finishes in a second, against the rate at which this machine starts ``sh``."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from tests.bench.stack import Stack, start_agent, stop_agent
from tests.bench.workload import Workload

SHELL_SPAWNS = 400


def bare_rate(program: str = "/bin/sh", count: int = SHELL_SPAWNS) -> float:
    """Run ``sh -c :`` in a plain loop; return spawns per second."""
    started = time.perf_counter()
    for _ in range(count):
        subprocess.run([program, "-c", ":"], check=True)
    return count / (time.perf_counter() - started)


def throughput(stack: Stack, executions: int = 2000, action: str = "bench.noop") -> tuple[float, float]:
    """Return (executions per second, CPU seconds of the agent per execution) for a queue that is full at the start."""
    agent, worker_id = start_agent(stack)
    work = Workload(stack, worker_id)
    work.purge()
    warm = work.schedule(action, 50)
    for execution_id in warm:
        work.dispatch(execution_id, action)
    work.wait_for_completions(len(warm))
    work.purge()
    # Stopped while the queue fills, so that dispatching costs the measurement nothing.
    os.kill(agent.pid, signal.SIGSTOP)
    for execution_id in work.schedule(action, executions):
        work.dispatch(execution_id, action)
    before = cpu_seconds(agent.pid)
    os.kill(agent.pid, signal.SIGCONT)
    started = time.perf_counter()
    work.wait_for_completions(executions)
    seconds = time.perf_counter() - started
    spent = cpu_seconds(agent.pid) - before
    statuses = work.statuses()
    if set(statuses) != {"completed"}:
        raise RuntimeError(f"not every execution completed: {statuses}")
    work.purge()
    work.close()
    stop_agent(stack, agent)
    return executions / seconds, spent / executions


def cpu_seconds(pid: int) -> float:
    """User and system time of one process without its children (proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
