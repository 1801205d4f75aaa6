"""One round: give what waits to workers, and take back what lies with the wrong worker, in one transaction.

The demands of what waits are looked at, not its rows: ten thousand executions that fit nobody cost as much as one.
Where there are very many demands, a round looks at a part of them, and the next one goes on behind it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from agent.control.ends import Ended, announcements
from agent.control.outbox import Outbox
from agent.db.named_statements import Statements
from agent.db.pool import Connection, Database
from agent.dispatch.fleet import Fleet, read_fleet, reserve
from agent.dispatch.lock_keys import PLACING
from agent.dispatch.recall import Unclaimed, decide
from agent.dispatch.waiting import FIRST, Fits, Key, Waiting
from agent.mq.broker import Outgoing
from agent.mq.messages import Dispatch
from agent.mq.outgoing_messages import dispatch
from agent.placement.candidate import Candidate
from agent.placement.choice import Room
from agent.placement.demand import Demand, demand_of
from agent.placement.explanation import explain
from agent.settings import Settings

log = logging.getLogger(__name__)

_DEMANDS, _BATCH, _FAILURES = 2000, 200, 500
"""Demands looked at, executions placed, and executions of one demand failed in one transaction."""

_FAILED_DEMANDS = 500
"""Demands whose executions are failed in one transaction."""

_FAIL_EVERY, _RECALL_EVERY = 1.0, 0.25
"""Seconds, at least, between looks for what has waited too long, and for what was given out and not begun."""


@dataclass
class Counts:
    """What one round did. ``waiting`` demands are left, ``unclaimed`` executions are given out and not begun; ``more``
    means that another round has work at once."""

    placed: int = 0
    recalled: int = 0
    failed: int = 0
    waiting: int = 0
    unclaimed: int = 0
    more: bool = False


class _Scheduled(NamedTuple):
    id: int
    action_ref: str
    config: Any
    worker: int
    updated: datetime


@dataclass(frozen=True)
class _Asked:
    """One distinct demand of what waits."""

    key: Key
    action_ref: str
    demand: Demand
    is_workflow: bool


@dataclass
class _Work:
    """What one transaction has found and done."""

    connection: Connection
    fleet: Fleet
    room: Room
    counts: Counts = field(default_factory=Counts)
    fitting: dict[Key, list[Candidate]] = field(default_factory=dict)
    messages: list[Outgoing] = field(default_factory=list)
    blindly: bool = False
    """Whether something was given to a worker that runs what it is told, whatever the row says."""


class PlacementRound:
    """Places what is requested; ``run_once`` may be called at any time, by any number of dispatchers."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        outbox: Outbox,
        send: Callable[[list[Outgoing]], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``send`` publishes dispatches after the commit, where the database is not the broker itself."""
        self._database = database
        self._executor = settings.executor
        self._settings = settings.dispatcher
        self._outbox = outbox
        self._send = send
        self._clock = clock
        self._waiting = Waiting(settings.dispatcher.wait_for_worker)
        self._fits = Fits()
        self._behind = FIRST
        self._met = 0
        self._turn = 0
        self._failed_at = self._recalled_at = float("-inf")
        self._fails = False
        self._sql = Statements("agent.dispatch")

    def run_once(self) -> Counts:
        """Do one round.

        Raises:
            DatabaseError: nothing was changed; the next round tries again.
        """
        now = self._clock()
        if self._behind == FIRST:  # a walk fails late demands wherever it meets them, or nowhere
            self._fails = now - self._failed_at >= _FAIL_EVERY
        with self._database.connection() as connection:
            self._sql.run(connection, "take_turn", {"space": PLACING})
            fleet = read_fleet(connection)
            work = _Work(connection, fleet, Room(fleet.workers, reserve, turn=self._turn))
            asked = self._asked(connection)
            self._place(work, asked)
            work.counts.unclaimed = sum(fleet.scheduled.values()) + work.counts.placed
            every = min(_RECALL_EVERY, self._settings.recall_after)
            if any(fleet.scheduled.values()) and now - self._recalled_at >= every:
                self._recalled_at = now
                self._recall(work)
            self._fail_late(work, asked, now)
            if work.counts.failed or work.blindly:
                self._sql.run(connection, "outlive_a_crash")
            if self._outbox.in_database:
                self._outbox.add(connection, work.messages)
        self._turn += work.counts.placed
        self._go_on(work, asked, now)
        if not self._outbox.in_database:
            self._send(work.messages)
        return work.counts

    def _asked(self, connection: Connection) -> list[_Asked]:
        values = {"action": self._behind[0], "placement": self._behind[1], "limit": _DEMANDS}
        rows = self._sql.mappings(connection, "demands", values)
        return [
            _Asked((row["action"], row["placement"]), row["action_ref"], demand_of(row), row["is_workflow"])
            for row in rows
        ]

    def _go_on(self, work: _Work, asked: list[_Asked], now: float) -> None:
        """Let the next round begin behind the last demand, or again with the first."""
        work.counts.waiting += self._met
        if len(asked) == _DEMANDS:
            self._behind = max(one.key for one in asked)  # hexadecimal digits have one order everywhere
            self._met = work.counts.waiting
            work.counts.more = True
            return
        self._behind, self._met = FIRST, 0
        self._waiting.end_walk()
        self._fits.end_walk()
        if self._fails:
            self._failed_at = now

    def _place(self, work: _Work, asked: list[_Asked]) -> None:
        """Let each demand have its share of the batch, oldest first, and then what others left."""
        ready = work.fleet.ready
        work.fitting = {one.key: self._fits.among(one.key, one.demand, ready) for one in asked if not one.is_workflow}
        able = [one for one in asked if work.fitting.get(one.key)]
        left = _BATCH
        emptied = 0
        for number, one in enumerate(able):
            workers = work.fitting[one.key]
            share = max(1, left // (len(able) - number))
            count = min(left, work.room.left(workers), share if len(able) > 1 else left)
            if count <= 0:
                continue
            chosen = work.room.take(one.demand, workers, count)
            placed = self._give(work, one.key, chosen)
            work.room.give_back(chosen[placed:])
            left -= placed
            emptied += 0 < placed < count  # none at all: they wait for their time
            work.counts.more = work.counts.more or (placed == count and work.room.left(workers) > 0)
        work.counts.waiting = len(asked) - emptied

    def _give(self, work: _Work, key: Key, workers: Sequence[Candidate]) -> int:
        """Give executions of one demand to these workers, one each; return how many there were."""
        values = {"action": key[0], "placement": key[1], "count": len(workers)}
        values["workers"] = [worker.id for worker in workers]
        rows = self._sql.all(work.connection, _Scheduled, "place", values)
        now = datetime.now(UTC)
        for row in sorted(rows, key=attrgetter("id")):
            config = row.config if isinstance(row.config, dict) else None
            given = Dispatch(row.id, row.action_ref, row.worker, config, row.updated)
            work.messages.append(dispatch(given, at=now))
        work.counts.placed += len(rows)
        work.blindly = work.blindly or not all(worker.guarded for worker in workers[: len(rows)])
        return len(rows)

    def _recall(self, work: _Work) -> None:
        """Take back what is not begun; it is placed in the next round, which follows at once."""
        after = self._settings.recall_after
        rows = self._sql.mappings(work.connection, "unclaimed", {"seconds": min(after, 1.0)})
        decided: dict[str, list[Unclaimed]] = {"keep": [], "recall": [], "fail": []}
        for row in rows:
            one = Unclaimed(row["id"], row["worker"], row["updated"], row["age"], demand_of(row))
            timeout = self._executor.scheduled_timeout
            decision = decide(one, work.fleet, work.room, recall_after=after, scheduled_timeout=timeout)
            decided[decision].append(one)
        if decided["recall"]:
            done = self._sql.values(work.connection, "recall", _rows(decided["recall"]))
            work.counts.recalled += len(done)
            work.counts.more = True
        if decided["fail"]:
            seconds = int(self._executor.scheduled_timeout)
            values = _rows(decided["fail"]) | {"seconds": seconds}
            self._tell(work, self._sql.all(work.connection, Ended, "time_out_scheduled", values))

    def _fail_late(self, work: _Work, asked: list[_Asked], now: float) -> None:
        """Fail what nobody fits for too long, and what nobody will ever run."""
        unfit = [one.key for one in asked if not one.is_workflow and not work.fitting[one.key]]
        late = set(self._waiting.update(unfit, now))
        if not self._fails:
            return
        for one in islice((one for one in asked if one.is_workflow or one.key in late), _FAILED_DEMANDS):
            sentence = f"{one.action_ref} is a workflow: only Attune's executor can run it"
            reasons: list[str] = []
            if not one.is_workflow:
                found = explain(one.demand, work.fleet.workers, one.action_ref)
                sentence, reasons = found.sentence, found.counted()
            values = {
                "action": one.key[0],
                "placement": one.key[1],
                "count": _FAILURES,
                "seconds": 0 if one.is_workflow else self._settings.wait_for_worker,
                "result": Jsonb(unschedulable(one.action_ref, sentence, reasons)),
            }
            self._tell(work, self._sql.all(work.connection, Ended, "fail_unplaceable", values))
        self._tell(work, self._sql.all(work.connection, Ended, "fail_orphans"))

    def _tell(self, work: _Work, ended: list[Ended]) -> None:
        """Every end is told, in the transaction that writes it."""
        self._outbox.add(work.connection, announcements(ended))
        work.counts.failed += len(ended)


def unschedulable(action_ref: str, sentence: str, reasons: list[str]) -> dict[str, Any]:
    """Return the result of an execution that no worker can run."""
    return {
        "succeeded": False,
        "error": "Execution is unschedulable",
        "cause": "unschedulable",
        "message": sentence,
        "reasons": reasons,
        "action_ref": action_ref,
        "failed_by": "execution_scheduler",
    }


def _rows(chosen: list[Unclaimed]) -> dict[str, list[Any]]:
    return {"ids": [one.id for one in chosen], "updated": [one.updated for one in chosen]}
