"""Of several dispatchers one leads, and it takes nobody for dead because the database was away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from agent.control.outbox import Outbox
from agent.db.pool import Connection, Database
from agent.dispatch.leader import Leader
from agent.dispatch.monitors.executions import LostExecutions
from agent.dispatch.monitors.workers import EphemeralLeftovers, SilentWorkers
from agent.errors import DatabaseError, DatabaseUnavailable
from tests.unit.fakes.clock import FakeClock

pytestmark = pytest.mark.postgres

#: The servers of the tests have run for longer than this, and the injected clock goes through it.
SETTLED = 0.01


@dataclass
class Looks:
    """A monitor that counts its turns."""

    name: str = "looks"
    judges_silence: bool = False
    statement: str = "SELECT 1"
    turns: list[int] = field(default_factory=list)

    def run_once(self, connection: Connection) -> int:
        self.turns.append(1)
        connection.execute(self.statement.encode())
        return 0


def leader(database: Database, clock: FakeClock, *monitors: Looks) -> Leader:
    made: Sequence[Looks] = monitors
    return Leader(database, made, interval=1.0, settled_after=SETTLED, clock=clock.monotonic)


def end_sessions(database: Database) -> None:
    with database.connection() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_one_leads_until_it_resigns_and_the_other_takes_over(database: Database) -> None:
    clock = FakeClock()
    first, second = leader(database, clock), leader(database, clock)
    first.run_once()
    second.run_once()
    assert (first.leads, second.leads) == (True, False)
    first.resign()
    second.run_once()
    assert second.leads
    second.resign()


def test_a_leader_whose_session_was_ended_leads_no_more_before_it_has_the_lock_again(database: Database) -> None:
    clock = FakeClock()
    looks = Looks()
    first, second = leader(database, clock, looks), leader(database, clock)
    first.run_once()
    end_sessions(database)
    second.run_once()
    with pytest.raises(DatabaseUnavailable):
        first.run_once()
    first.run_once()
    assert (first.leads, second.leads, len(looks.turns)) == (False, True, 1)
    second.resign()


def test_a_monitor_that_fails_stops_no_other(database: Database) -> None:
    broken, fine = Looks(statement="SELECT nothing FROM nowhere"), Looks()
    one = leader(database, FakeClock(), broken, fine)
    with pytest.raises(DatabaseError):
        one.run_once()
    assert (len(broken.turns), len(fine.turns)) == (1, 1)


def test_after_the_database_was_away_nobody_is_taken_for_dead_for_a_while(database: Database) -> None:
    clock = FakeClock()
    judge, other = Looks(judges_silence=True), Looks()
    one = leader(database, clock, other, judge)
    one.run_once()
    end_sessions(database)
    with pytest.raises(DatabaseUnavailable):
        one.run_once()
    assert (len(judge.turns), len(other.turns)) == (1, 1)
    one.run_once()
    clock.sleep(SETTLED * 0.9)
    one.run_once()
    assert (len(judge.turns), len(other.turns)) == (1, 3)
    clock.sleep(SETTLED)
    one.run_once()
    assert len(judge.turns) == 2
    one.resign()


def test_whoever_ends_what_a_silent_worker_has_says_that_it_judges_silence() -> None:
    outbox = Outbox(in_database=True)
    for monitor in (LostExecutions(outbox), SilentWorkers(outbox), EphemeralLeftovers(outbox, lambda *_: None)):
        assert monitor.judges_silence
