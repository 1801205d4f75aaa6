"""What pruning a hundred thousand executions takes from those that run meanwhile.

Pruning goes on and rests in turns, a second each, while one full queue is worked off: what else the machine does, and
how large the tables are, is the same for the two neighbours of a pair.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import threading
import time
from dataclasses import dataclass

from agent.configuration import load_settings
from agent.db.pool import Database
from agent.retention.pruning import Pruning
from tests.bench.stack import Stack, start_agent, stop_agent
from tests.bench.workload import Workload

OLD, RUNS, PAIRS = 100_000, 16_000, 12
_SECONDS, _SETTLED = 1.0, 0.1
"""Of one measurement, and before it: a batch ends, another begins."""
_ACTION = "bench.noop"


@dataclass(frozen=True)
class Cost:
    """Executions a second alone and beside pruning; quartiles of the pairs' ratios; old rows that went in a second."""

    alone: float
    beside: float
    low: float
    ratio: float
    high: float
    pruned: float


class _Turns:
    """Prunes in a thread as `attune prune` does, while it is its turn."""

    def __init__(self, stack: Stack) -> None:
        self._settings = load_settings(stack.environment).settings
        self._turn = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether nothing is left to prune."""
        return not self._thread.is_alive()

    def set(self, *, prunes: bool) -> None:
        """Let it go on, or rest after the batch that is under way."""
        (self._turn.set if prunes else self._turn.clear)()

    def close(self) -> None:
        self._ended = True
        self._turn.set()
        self._thread.join()

    def _run(self) -> None:
        self._turn.wait()
        database = Database(self._settings.database, application_name="attune-bench")
        with contextlib.closing(database), contextlib.closing(Pruning.connect(database)) as connection:
            Pruning(self._settings, stopped=lambda: self._ended, rest=self._rest).run_once(connection)

    def _rest(self, seconds: float) -> None:
        time.sleep(seconds)
        self._turn.wait()


def pruning_cost(stack: Stack) -> Cost:
    """Measure in pairs. Raises RuntimeError when there was not enough to prune, or to run."""
    _fill(stack)
    agent, worker_id = start_agent(stack)
    work = Workload(stack, worker_id)
    work.purge()
    os.kill(agent.pid, signal.SIGSTOP)
    work.run(_ACTION, RUNS)
    os.kill(agent.pid, signal.SIGCONT)
    rates: dict[bool, list[float]] = {False: [], True: []}
    turns = _Turns(stack)
    try:
        for pair in range(PAIRS):
            for prunes in ((False, True), (True, False))[pair % 2]:
                turns.set(prunes=prunes)
                rates[prunes].append(_rate(work))
        pruned = (OLD - _old(stack)) / (PAIRS * (_SECONDS + _SETTLED))
        if turns.over or not _old(stack):
            raise RuntimeError("everything was pruned before what ran beside it had ended")
        if work.completions() >= RUNS:
            raise RuntimeError("everything had run before the last measurement")
    finally:
        turns.close()
    work.discard_queue()
    stop_agent(stack, agent)
    work.purge()
    work.close()
    with stack.connect() as connection:
        connection.execute("TRUNCATE execution, execution_history CASCADE")
    ratios = [beside / alone for alone, beside in zip(rates[False], rates[True], strict=True)]
    alone, beside = (statistics.median(rates[prunes]) for prunes in (False, True))
    return Cost(alone, beside, *statistics.quantiles(ratios, n=4), pruned)


def _rate(work: Workload) -> float:
    """Return how many executions end in a second now."""
    time.sleep(_SETTLED)
    before, begin = work.completions(), time.perf_counter()
    time.sleep(_SECONDS)
    return (work.completions() - before) / (time.perf_counter() - begin)


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
