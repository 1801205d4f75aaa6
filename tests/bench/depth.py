"""Whether a long queue slows an agent down: executions a second, and processor time, from a long and a short one."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass

from tests.bench.stack import Stack, start_agent, stop_agent
from tests.bench.throughput import cpu_seconds
from tests.bench.workload import Workload
from tests.services.proxy import until

_SHORT, _LONG, _ROUNDS = 2000, 50_000, 3
#: While the queue is filled the broker loses the agent, which is stopped; these are over before anything is measured.
_FIRST = 100


@dataclass(frozen=True)
class Depth:
    """Executions per second from either queue; medians of long to short, of rates and of processor time for each."""

    short: float
    long: float
    rates: float
    processor: float


def depth(stack: Stack) -> Depth:
    """Measure a short queue and the beginning of a long one, in turns."""
    agent, worker_id = start_agent(stack)
    work = Workload(stack, worker_id)
    rounds = []
    for _ in range(_ROUNDS):
        short, long = (_measure(agent, work, count) for count in (_SHORT, _LONG))
        rounds.append((short[0], long[0], long[0] / short[0], long[1] / short[1]))
    work.close()
    stop_agent(stack, agent)
    return Depth(*map(statistics.median, zip(*rounds, strict=True)))


def _measure(agent: subprocess.Popen[bytes], work: Workload, count: int) -> tuple[float, float]:
    """Return executions per second, and the agent's processor seconds for each, of the first of a full queue."""
    os.kill(agent.pid, signal.SIGSTOP)
    work.run("bench.noop", count)
    os.kill(agent.pid, signal.SIGCONT)
    work.wait_for_completions(_FIRST)
    before, began, spent = work.completions(), time.perf_counter(), cpu_seconds(agent.pid)
    work.wait_for_completions(_SHORT - _FIRST)
    seconds, done = time.perf_counter() - began, work.completions() - before
    spent = cpu_seconds(agent.pid) - spent
    work.discard_queue()
    until(lambda: set(work.statuses()) == {"completed"}, "what was running")
    work.purge()
    return done / seconds, spent / done
