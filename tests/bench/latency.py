"""How long one execution takes on an idle agent, from its dispatch to its completion, beyond the bare spawn."""

from __future__ import annotations

import statistics
import subprocess
import time

from agent.mq import topology
from tests.bench.stack import Stack, start_agent, stop_agent
from tests.bench.workload import Workload


def bare_spawns(count: int) -> list[float]:
    """Return the seconds of each ``sh -c :``."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        subprocess.run(["/bin/sh", "-c", ":"], check=True)
        seconds.append(time.perf_counter() - started)
    return seconds


def latencies(stack: Stack, count: int = 200, action: str = "bench.noop", **extra: str) -> list[float]:
    """Return the seconds from each dispatch, once it is published, to receiving its completion; one at a time.

    ``extra`` are further variables of the agent.
    """
    agent, worker_id = start_agent(stack, **extra)
    work = Workload(stack, worker_id)
    work.purge()
    seconds = []
    completions = work.channel.consume(topology.COMPLETED.name, auto_ack=True, inactivity_timeout=30)
    for number, execution_id in enumerate(work.schedule(action, count + 20)):
        work.dispatch(execution_id, action)
        started = time.perf_counter()
        if next(completions)[0] is None:
            raise RuntimeError("no completion within 30 s")
        if number >= 20:  # the first ones fill caches
            seconds.append(time.perf_counter() - started)
    work.channel.cancel()
    work.purge()
    work.close()
    stop_agent(stack, agent)
    return seconds


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds."""
    cut = statistics.quantiles(seconds, n=20)
    return statistics.median(seconds) * 1000, cut[18] * 1000
