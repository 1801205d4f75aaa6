"""What is requested becomes work of a worker: placed, taken back, given to another, or failed with the reason."""

from __future__ import annotations

import signal

import pytest

from tests.integration.dispatch.conftest import RunningDispatcher, add_worker, request_execution, status, until
from tests.services.deployment import Deployment

pytestmark = [pytest.mark.postgres, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.mark.parametrize("place", ["database", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)], indirect=True)
def test_a_requested_execution_runs_on_a_real_agent(place: Deployment, dispatcher: RunningDispatcher) -> None:
    dispatcher()
    place.start_agent()
    ids = [request_execution(place, "core.echo", {"message": f"number {n}"}) for n in range(20)]
    ended = [place.wait(execution_id) for execution_id in ids]
    assert {row.status for row in ended} == {"completed"}
    assert [row.result["stdout"].strip() for row in ended] == [f"number {n}" for n in range(20)]


def test_free_slots_are_used_before_anything_waits_beside_a_busy_worker(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    busy = add_worker(place, "a-busy", status="active")
    free = [add_worker(place, "b-free"), add_worker(place, "c-free")]
    for _ in range(2):
        request_execution(place, "core.echo", worker=busy, status="running")
    ids = [request_execution(place, "core.echo") for _ in range(4)]
    dispatcher()
    until(lambda: all(status(place, one) == "scheduled" for one in ids))
    assert sorted(place.execution(one).worker or 0 for one in ids) == sorted(free * 2)


def test_full_workers_are_waited_for_and_nothing_fails(place: Deployment, dispatcher: RunningDispatcher) -> None:
    worker = add_worker(place, "full", slots=1)
    running = request_execution(place, "core.echo", worker=worker, status="running")
    ids = [request_execution(place, "core.echo") for _ in range(5)]
    made = dispatcher(wait_for_worker=0.0)
    until(lambda: sum(status(place, one) == "scheduled" for one in ids) == 2)
    until(lambda: made.last.waiting == 1)
    assert [status(place, one) for one in ids].count("requested") == 3
    place.database.execute("UPDATE execution SET status = 'completed' WHERE id = %s", [running])
    until(lambda: sum(status(place, one) == "scheduled" for one in ids) == 3)


def test_what_fits_nobody_fails_with_the_executors_sentence_and_a_completion(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    add_worker(place, "no-python")
    one = request_execution(place, "core.http_request")
    dispatcher(wait_for_worker=0.0)
    row = place.wait(one)
    assert row.status == "failed"
    assert row.result["error"] == "Execution is unschedulable"
    assert row.result["message"].startswith("No compatible workers found for action: core.http_request")
    assert row.result["reasons"] == ["no-python: offers shell; not python"]
    assert [m.payload["status"] for m in place.messages(one) if m.kind == "ExecutionCompleted"] == ["Failed"]


def test_it_waits_for_a_worker_that_comes_later(place: Deployment, dispatcher: RunningDispatcher) -> None:
    one = request_execution(place, "core.echo")
    made = dispatcher()
    until(lambda: made.last.waiting == 1)
    assert status(place, one) == "requested"
    add_worker(place, "late")
    until(lambda: status(place, one) == "scheduled")


@pytest.mark.parametrize(
    ("ref", "selector"),
    [("core.http_request", "NULL"), ("core.echo", "jsonb_build_object('nowhere', n::text)")],
    ids=["one demand", "a demand each"],
)
def test_many_that_fit_nobody_do_not_hold_up_those_behind_them(
    place: Deployment, dispatcher: RunningDispatcher, ref: str, selector: str
) -> None:
    with place.connect() as connection:
        connection.execute("SET session_replication_role = replica")  # what triggers would do ten thousand times
        connection.execute(
            f"INSERT INTO execution (action, action_ref, status, worker_selector)"
            f" SELECT a.id, a.ref, 'requested', {selector} FROM action a, generate_series(1, 10000) AS n"
            f" WHERE a.ref = '{ref}'".encode()
        )
    add_worker(place, "shell-only")
    one = request_execution(place, "core.sleep")  # its demand is the last that a walk meets
    made = dispatcher()
    until(lambda: status(place, one) == "scheduled")
    until(lambda: made.last.waiting > 0)
    assert place.one("SELECT count(*)::int AS n FROM execution WHERE status = 'requested'")["n"] == 10_000


def test_many_demands_that_fit_nobody_all_fail_when_their_time_is_over(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    with place.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO execution (action, action_ref, status, worker_selector)"
            " SELECT a.id, a.ref, 'requested', jsonb_build_object('nowhere', n::text)"
            "   FROM action a, generate_series(1, 2100) AS n WHERE a.ref = 'core.echo'"
        )
    add_worker(place, "some")
    dispatcher(wait_for_worker=0.0)
    until(lambda: place.one("SELECT count(*)::int AS n FROM execution WHERE status = 'failed'")["n"] == 2_100)


def test_unstarted_work_goes_to_a_worker_that_joins(place: Deployment, dispatcher: RunningDispatcher) -> None:
    first = add_worker(place, "first", slots=2)
    for _ in range(2):
        request_execution(place, "core.echo", worker=first, status="running")
    waiting = [request_execution(place, "core.echo") for _ in range(4)]
    dispatcher()
    until(lambda: sum(status(place, one) == "scheduled" for one in waiting) == 2)
    second = add_worker(place, "second", slots=4)
    until(lambda: all(place.execution(one).worker == second for one in waiting))


def test_a_draining_worker_loses_what_it_has_not_begun(place: Deployment, dispatcher: RunningDispatcher) -> None:
    leaving, other = add_worker(place, "leaving"), add_worker(place, "other", slots=0)
    one = request_execution(place, "core.echo", worker=leaving, status="scheduled")
    place.database.execute("UPDATE worker SET status = 'busy' WHERE id = %s", [leaving])
    dispatcher(recall_after=0.2)
    until(lambda: place.execution(one).worker == other)


def test_a_worker_without_a_guarded_claim_keeps_what_it_was_given(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    rust = add_worker(place, "rust", capabilities={"guarded_claim": False})
    kept = request_execution(place, "core.echo", worker=rust, status="scheduled")
    add_worker(place, "ours")
    made = dispatcher(recall_after=0.1)
    until(lambda: made.last.unclaimed == 1)
    probe = request_execution(place, "core.echo")
    until(lambda: status(place, probe) == "scheduled")
    assert place.execution(kept).worker == rust


def test_two_dispatchers_place_each_execution_once(place: Deployment, dispatcher: RunningDispatcher) -> None:
    for number in range(3):
        add_worker(place, f"w{number}", slots=20)
    dispatcher()
    dispatcher()
    ids = [request_execution(place, "core.echo") for _ in range(60)]
    until(lambda: all(status(place, one) == "scheduled" for one in ids))
    counts = place.all("SELECT worker, count(*)::int AS n FROM execution GROUP BY worker ORDER BY worker")
    assert [row["n"] for row in counts] == [20, 20, 20]
    assert place.one("SELECT count(*)::int AS n FROM mq_message m WHERE m.queue LIKE 'worker.%%'", [])["n"] == 0


def test_what_a_killed_agent_ran_is_abandoned_when_its_heartbeat_is_old(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    agent = place.start_agent()
    dispatcher()
    one = request_execution(place, "core.sleep", {"seconds": 100})
    place.wait(one, "running")
    agent.kill()
    # Time passes: the last heartbeat, and the last restart of this young server.
    place.database.execute("UPDATE worker SET last_heartbeat = last_heartbeat - interval '91 seconds'")
    row = place.wait(one, timeout=150.0)
    assert (row.status, row.result["cause"]) == ("abandoned", "worker_lost")
    assert [m.payload["status"] for m in place.messages(one) if m.kind == "ExecutionCompleted"] == ["Abandoned"]
    until(lambda: place.one("SELECT status::text AS s FROM worker")["s"] == "inactive")
    (alert,) = place.all("SELECT payload FROM event WHERE payload ->> 'category' = 'execution_reconciliation'")
    assert alert["payload"]["correlation_id"] == f"execution:{one}:worker_unavailable"


def test_a_failed_attempt_is_tried_again_as_often_as_its_action_says(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    place.start_agent()
    place.database.execute("UPDATE action SET max_retries = 2 WHERE ref = 'core.fail'")
    dispatcher()
    first = request_execution(place, "core.fail")
    place.wait(first)
    until(lambda: len(place.all("SELECT 1 FROM execution")) == 2)
    again = place.one("SELECT id, retry_count, original_execution FROM execution WHERE id <> %s", [first])
    assert (again["retry_count"], again["original_execution"]) == (1, first)
    delay = place.one("SELECT extract(epoch FROM not_before - clock_timestamp())::float8 AS s FROM server_delay")["s"]
    assert 5 < delay <= 11
    place.database.execute("UPDATE server_delay SET not_before = clock_timestamp()")
    place.wait(again["id"])
    until(lambda: len(place.all("SELECT 1 FROM execution")) == 3)
    place.database.execute("UPDATE server_delay SET not_before = clock_timestamp()")
    last = place.one("SELECT id FROM execution WHERE retry_count = 2")["id"]
    place.wait(last)
    assert place.all("SELECT attempt FROM server_retry WHERE next IS NULL") == []


def test_what_was_abandoned_is_tried_again_only_where_the_action_says_so(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    place.database.execute("UPDATE action SET max_retries = 1 WHERE ref IN ('core.echo', 'core.fail')")
    place.database.execute(
        "INSERT INTO server_action (action, retry_abandoned) SELECT id, true FROM action WHERE ref = 'core.echo'"
    )
    lost = {"succeeded": False, "cause": "worker_lost"}
    ids = {ref: request_execution(place, ref, status="running", result=lost) for ref in ("core.echo", "core.fail")}
    place.database.execute("UPDATE execution SET status = 'abandoned'")
    dispatcher()
    until(lambda: len(place.all("SELECT 1 FROM server_retry")) == 2)
    again = place.all("SELECT original_execution, action_ref, retry_count FROM execution WHERE retry_count > 0")
    assert again == [{"original_execution": ids["core.echo"], "action_ref": "core.echo", "retry_count": 1}]


def test_a_full_worker_that_stops_leaves_its_unstarted_work_to_another(
    place: Deployment, dispatcher: RunningDispatcher
) -> None:
    dispatcher()
    place.settings["ATTUNE__WORKER__MAX_CONCURRENT_TASKS"] = "1"
    leaving = place.start_agent("leaving")
    running = request_execution(place, "core.sleep", {"seconds": 100})
    place.wait(running, "running")
    queued = request_execution(place, "core.echo")
    place.wait(queued, "scheduled")
    other = place.start_agent("other")
    leaving.signal(signal.SIGTERM)
    row = place.wait(queued)
    assert (row.status, row.worker) == ("completed", other.worker_id)
    leaving.kill()
