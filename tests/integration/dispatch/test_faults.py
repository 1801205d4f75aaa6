"""What can go wrong around a dispatcher: lost messages and notifications, dead workers, others' rows, a broker away."""

from __future__ import annotations

import signal

import pytest

from agent.dispatch.lock_keys import PRESENCE
from agent.dispatch.service import Dispatcher
from tests.integration.dispatch.conftest import RunningDispatcher, add_worker, request_execution, status, until
from tests.services.deployment import Deployment

pytestmark = [pytest.mark.postgres, pytest.mark.filterwarnings("ignore::ResourceWarning")]
BROKERS = pytest.mark.parametrize(
    "place", ["database", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)], indirect=True
)


def pass_time(place: Deployment, seconds: float, condition: str) -> None:
    """Let rows look as if nothing had happened to them for a while."""
    with place.connect() as connection:
        connection.execute("SET session_replication_role = replica")  # or a trigger would say: now
        connection.execute(
            "UPDATE execution SET created = created - %s * interval '1 second',"
            f" updated = updated - %s * interval '1 second' WHERE {condition}".encode(), [seconds, seconds],
        )  # fmt: skip


@BROKERS
def test_what_waited_longer_than_queues_keep_it_runs_when_its_turn_comes(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    dispatcher()
    place.settings["ATTUNE__WORKER__MAX_CONCURRENT_TASKS"] = "1"
    place.start_agent()
    ids = [request_execution(place, "core.sleep", {"seconds": 280 if n < 5 else 1}) for n in range(6)]
    place.wait(ids[0], "running")
    young = "SELECT id FROM execution WHERE status = 'scheduled' AND updated > now() - interval '1 minute'"
    until(lambda: len(place.all(young)) == 2)
    pass_time(place, 330, "status IN ('requested', 'scheduled')")
    until(lambda: len(place.all(young)) == 2)
    for one in ids[1:5]:
        cancel(place, one)
    place.cancel(ids[0])
    assert place.wait(ids[5]).status == "completed"
    assert {place.wait(one).status for one in ids[:5]} == {"cancelled"}


def cancel(place: Deployment, execution_id: int) -> None:
    """Cancel what has not begun, as the API does; what has, by asking its worker."""
    done = place.database.execute(
        "UPDATE execution SET status = 'cancelled' WHERE id = %s"
        " AND status IN ('requested', 'scheduling', 'scheduled') RETURNING id",
        [execution_id],
    ).fetchone()
    if done is None:
        place.cancel(execution_id)


def test_what_is_to_be_cancelled_on_a_worker_that_died_ends_as_cancelled(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    agent = place.start_agent()
    dispatcher()
    one = request_execution(place, "core.sleep", {"seconds": 100})
    place.wait(one, "running")
    agent.kill()
    place.database.execute("UPDATE execution SET status = 'canceling' WHERE id = %s", [one])
    place.database.execute("UPDATE worker SET last_heartbeat = last_heartbeat - interval '91 seconds'")
    row = place.wait(one, timeout=150.0)
    assert (row.status, row.result["cause"]) == ("cancelled", "cancelled")
    assert [m.payload["status"] for m in place.messages(one) if m.kind == "ExecutionCompleted"] == ["Cancelled"]


def test_a_cancellation_that_got_lost_is_asked_for_again(place: Deployment, dispatcher: RunningDispatcher) -> None:
    place.start_agent()
    dispatcher()
    one = request_execution(place, "core.sleep", {"seconds": 100})
    place.wait(one, "running")
    place.database.execute("UPDATE execution SET status = 'canceling' WHERE id = %s", [one])  # and tells nobody
    pass_time(place, 16, "status = 'canceling'")
    assert place.wait(one).status == "cancelled"


def test_a_worker_that_joins_has_work_of_real_executions(place: Deployment, dispatcher: RunningDispatcher) -> None:
    dispatcher()
    place.settings["ATTUNE__WORKER__MAX_CONCURRENT_TASKS"] = "3"
    place.start_agent("first")
    ids = [request_execution(place, "core.sleep", {"seconds": 3600}) for _ in range(6)]
    until(lambda: [status(place, one) for one in ids].count("running") == 3)
    second = place.start_agent("second")
    until(lambda: all(status(place, one) == "running" for one in ids))
    assert [place.execution(one).worker for one in ids].count(second.worker_id) == 3


def test_a_dispatch_that_got_lost_is_sent_again(place: Deployment, dispatcher: RunningDispatcher) -> None:
    dispatcher()
    agent = place.start_agent()
    agent.signal(signal.SIGSTOP)
    one = request_execution(place, "core.echo", {"message": "found"})
    until(lambda: status(place, one) == "scheduled")
    place.database.execute("DELETE FROM mq_message WHERE queue LIKE 'worker.%.executions'")
    pass_time(place, 10, "status = 'scheduled'")
    agent.signal(signal.SIGCONT)
    row = place.wait(one)
    assert (row.status, row.result["stdout"]) == ("completed", "found\n")


def test_without_any_notification_work_is_placed_and_a_deaf_listener_connects_again(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    made: Dispatcher = dispatcher()
    until(lambda: made.hears)
    listener = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND classid = %s"
    before = place.all(listener, [PRESENCE])
    add_worker(place, "some", slots=100)
    told = request_execution(place, "core.echo")
    until(lambda: status(place, told) == "scheduled")  # the rounds that were asked for at the start are over
    with place.connect() as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger: nobody is told of these
        connection.execute(
            "INSERT INTO execution (action, action_ref, config, status)"
            " SELECT id, ref, '{}', 'requested' FROM action, generate_series(1, 5) WHERE ref = 'core.echo'"
        )
    until(lambda: place.one("SELECT count(*)::int AS n FROM execution WHERE status = 'scheduled'")["n"] == 6)
    assert len(before) == 1
    place.database.execute("SELECT pg_terminate_backend(%s)", [before[0]["pid"]])
    until(lambda: made.hears and place.all(listener, [PRESENCE]) not in ([], before))


def test_rows_that_another_scheduler_has_in_hand_are_left_to_it_for_half_a_minute(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    add_worker(place, "ours", slots=10)
    theirs = request_execution(place, "core.echo", status="scheduling")
    left = request_execution(place, "core.echo", status="scheduling")
    pass_time(place, 31, f"id = {left}")
    ours = request_execution(place, "core.echo")
    dispatcher()
    until(lambda: status(place, left) == "scheduled" and status(place, ours) == "scheduled")
    assert status(place, theirs) == "scheduling"


def test_a_worker_that_registered_and_died_at_once_gets_nothing(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    never = add_worker(place, "a-never-beat", slots=50)  # the emptiest of all
    place.database.execute("UPDATE worker SET last_heartbeat = NULL WHERE id = %s", [never])
    gone = request_execution(place, "core.echo", worker=never, status="scheduled")
    alive = add_worker(place, "b-alive", slots=10)
    one = request_execution(place, "core.echo")
    dispatcher()
    until(lambda: place.execution(one).worker == alive and place.execution(gone).worker == alive)


def test_what_a_worker_got_that_died_as_soon_as_it_had_registered_goes_to_another(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    dispatcher()
    place.start_agent("first").kill()
    ids = [request_execution(place, "core.echo") for _ in range(6)]
    until(lambda: "scheduled" in [status(place, one) for one in ids])  # its heartbeat is fresh: it looks alive
    place.start_agent("second")
    assert {place.wait(one).status for one in ids} == {"completed"}


def test_the_time_of_workers_and_servers_does_not_matter(place: Deployment, dispatcher: RunningDispatcher) -> None:
    """Every age is the database's."""
    place.start_agent("far", TZ="Pacific/Kiritimati")
    dispatcher()
    one = request_execution(place, "core.echo")
    assert place.wait(one).status == "completed"
    age = place.one("SELECT abs(extract(epoch FROM clock_timestamp() - last_heartbeat))::float8 AS s FROM worker")["s"]
    assert age < 90


@pytest.mark.rabbitmq
@pytest.mark.parametrize("place", ["rabbitmq"], indirect=True)
def test_what_was_placed_while_the_broker_lost_it_is_placed_again(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    """A dispatch to a queue that does not exist yet is confirmed and dropped by the broker."""
    worker = add_worker(place, "no-queue", slots=4)
    one = request_execution(place, "core.echo")
    dispatcher()
    until(lambda: status(place, one) == "scheduled")
    first = place.execution(one).updated
    pass_time(place, 6, f"id = {one}")
    until(lambda: status(place, one) == "scheduled" and place.execution(one).updated >= first)
    assert place.execution(one).worker == worker
