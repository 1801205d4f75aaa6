"""What pruning a hundred thousand executions takes from those that run meanwhile."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.bench.stack import ROOT, Stack
from tests.bench.throughput import throughput

OLD, RUNS, ROUNDS = 100_000, 2000, 3
_PRUNE = [sys.executable, "-c", "from agent.cli.operator import main; main()", "prune"]


@dataclass(frozen=True)
class Cost:
    """Executions in a second alone and beside pruning; the median of the ratios; old rows that went in a second."""

    alone: float
    beside: float
    ratio: float
    pruned: float


def pruning_cost(stack: Stack) -> Cost:
    """Measure in turns; what is pruned outlasts what runs. Raises RuntimeError when it does not."""
    alone, beside, pruned = [], [], []
    for _ in range(ROUNDS):
        alone.append(throughput(stack, RUNS)[0])
        _fill(stack)
        with subprocess.Popen(_PRUNE, env=stack.environment, cwd=ROOT, stdout=subprocess.DEVNULL) as child:
            started, before = time.perf_counter(), _old(stack)
            beside.append(throughput(stack, RUNS)[0])
            pruned.append((before - _old(stack)) / (time.perf_counter() - started))
            if child.poll() is not None:
                raise RuntimeError("everything was pruned before what ran beside it had ended")
            child.kill()
        with stack.connect() as connection:
            connection.execute("TRUNCATE execution, execution_history CASCADE")
    ratios = [b / a for a, b in zip(alone, beside, strict=True)]
    return Cost(*map(statistics.median, (alone, beside, ratios, pruned)))


def _fill(stack: Stack) -> None:
    """Write rows without what triggers would make of each, but with the history that each has."""
    with stack.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO execution (action, action_ref, config, status, result, created, updated)"
            " SELECT a.id, a.ref, '{}', 'completed', '{\"exit_code\": 0, \"stdout\": \"\"}',"
            "        now() - interval '60 days', now() - interval '60 days' + n * interval '1 second'"
            "   FROM action a, generate_series(1, %s) AS n WHERE a.ref = 'bench.noop'",
            [OLD],
        )
        connection.execute(
            "INSERT INTO execution_history (time, operation, entity_id, changed_fields)"
            " SELECT now() - interval '60 days', 'UPDATE', id, '{status}'"
            "   FROM execution WHERE updated < now() - interval '30 days'"
        )
        connection.execute("VACUUM ANALYZE execution")


def _old(stack: Stack) -> int:
    with stack.connect() as connection:
        row = connection.execute("SELECT count(*) FROM execution WHERE updated < now() - interval '30 days'").fetchone()
    return int(str(row[0])) if row is not None else 0
