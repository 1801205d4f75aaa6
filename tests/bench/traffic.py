"""How many SQL statements and messages one execution costs: counted by the servers, not by the agent."""

from __future__ import annotations

from dataclasses import dataclass

from agent.mq import topology
from tests.bench.stack import Stack, start_agent, stop_agent
from tests.bench.workload import Workload


@dataclass(frozen=True)
class Traffic:
    """Per execution: statements when each comes alone, statements when the queue is full, messages published."""

    statements_alone: float
    statements_in_bulk: float
    messages: float


def traffic(stack: Stack, executions: int = 300) -> Traffic:
    """Run executions one after the other, then as many from a full queue, and count what both servers saw."""
    agent, worker_id = start_agent(stack, ATTUNE__WORKER__HEARTBEAT_INTERVAL="45")
    work = Workload(stack, worker_id)
    work.purge()
    with stack.logged_statements() as count:
        for execution_id in work.schedule("bench.noop", 50):
            done = work.completions()
            work.dispatch(execution_id, "bench.noop")
            work.wait_for_completions(done + 1)
        alone = count() / 50
        before = count()
        ids = work.schedule("bench.noop", executions)
        for execution_id in ids:
            work.dispatch(execution_id, "bench.noop")
        work.wait_for_completions(50 + executions)
        bulk = (count() - before) / executions
    published = sum(work.depth(queue) for queue in (topology.STATUS, topology.COMPLETED))
    work.purge()
    work.close()
    stop_agent(stack, agent)
    return Traffic(alone, bulk, published / (50 + executions))
