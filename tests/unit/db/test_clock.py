"""The time of day by the database goes on with a clock that nobody sets."""

from __future__ import annotations

from agent.db.clock import DatabaseClock
from tests.unit.fakes.clock import FakeClock

HOUR = 3600.0


def test_until_it_was_told_the_time_it_says_what_the_machine_says() -> None:
    assert DatabaseClock(own=lambda: 7.0).now() == 7.0


def test_a_machine_whose_clock_is_set_otherwise_tells_the_databases_time() -> None:
    passing = FakeClock()
    own = [1_000_000.0]
    clock = DatabaseClock(monotonic=passing.monotonic, own=lambda: own[0])
    clock.tell(1_000_000.0 + HOUR)
    passing.sleep(10.0)
    own[0] -= 24 * HOUR
    assert clock.now() == 1_000_000.0 + HOUR + 10.0
    clock.tell(5.0)
    assert clock.now() == 5.0
