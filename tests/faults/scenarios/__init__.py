"""What can go wrong, one function each. Each leaves the site healed; the audit comes afterwards.

``SHORT_FORM`` are those that continuous integration runs each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.faults.scenarios import agents, broker, crashes, database, everything, leaving, machine, messages, served
from tests.faults.site import Site


class Scenario(NamedTuple):
    """What brings a fault about, and the seconds after its end in which something new has ended, on an idle machine."""

    run: Callable[[Site], None]
    at_most: float


SCENARIOS: dict[str, Scenario] = {
    run.__name__.replace("_", " "): Scenario(run, at_most)
    for run, at_most in (
        (crashes.killed_at_any_moment, 5),
        (crashes.killed_after_delivery, 5),
        (crashes.killed_after_claim, 5),
        (crashes.killed_while_jobs_run, 5),
        (crashes.killed_after_exit, 5),
        (crashes.killed_before_messages, 5),
        (crashes.stopped_while_somebody_ends_its_rows, 5),
        (broker.broker_restarted, 5),
        (broker.broker_away, 5),
        (broker.broker_half_open, 15),
        (broker.broker_resetting, 5),
        (broker.broker_closes_everything, 5),
        (broker.acknowledged_twice, 5),
        (broker.consumer_timeout, 5),
        (broker.second_broker_node, 10),
        (broker.queue_deleted, 5),
        (broker.dispatches_lost, 5),
        (broker.memory_alarm, 5),
        (database.database_restarted, 5),
        (database.database_away, 5),
        (database.database_silent, 5),
        (database.database_read_only, 5),
        (database.database_slow, 5),
        (database.answers_lost, 5),
        (database.serialization_failures, 5),
        (database.rows_locked, 5),
        (database.commits_hanging, 5),
        (database.both_away, 5),
        (leaving.drained_in_time, 5),
        (leaving.drained_too_late, 5),
        (leaving.asked_twice_to_leave, 5),
        (leaving.leaving_without_database, 5),
        (leaving.leaving_without_broker, 5),
        (messages.duplicates, 5),
        (messages.cancelled, 5),
        (agents.two_agents, 5),
        (agents.one_name_twice, 5),
        (agents.partitioned, 10),
        (machine.disk_full, 5),
        (machine.clock_set, 5),
        (served.server_killed, 5),
        (served.broker_away_from_the_server, 5),
        (served.database_restarted_under_the_server, 5),
        (served.database_away_from_the_server, 5),
        (everything.at_random, 20),
    )
}
SHORT_FORM = (
    "killed at any moment",
    "killed while jobs run",
    "killed before messages",
    "stopped while somebody ends its rows",
    "broker away",
    "acknowledged twice",
    "database silent",
    "answers lost",
    "leaving without database",
    "duplicates",
    "broker away from the server",
    "database restarted under the server",
    "at random",
)
