"""Several sensor services on one database: each sensor runs in one of them, also after one is killed or cut off."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.sensors.watched import Watched
from tests.services.agent_process import AgentProcess
from tests.services.deployment import Deployment
from tests.services.waiting import until

#: Says when another one of it runs at the same time; each life leaves a process outside its group behind.
ALONE = """#!/bin/bash
exec 9>> {lock}
flock -n 9 || echo overlap >> {log}
echo "start $ATTUNE_SENSOR_REF" >> {log}
(setsid sleep 600 &)
trap 'exit 0' TERM
while :; do sleep 0.1; done
"""


@pytest.fixture
def watched(fresh_deployment: Deployment) -> Watched:
    fresh_deployment.settings |= {
        "TOLD": str(fresh_deployment.directory / "told"),
        "ATTUNE__SENSOR__MAX_CONCURRENT_SENSORS": "4",
    }
    return Watched(fresh_deployment)


@pytest.fixture
def log(watched: Watched) -> Path:
    return watched.deployment.directory / "log"


@pytest.fixture
def sensors(watched: Watched, log: Path) -> list[str]:
    deployment = watched.deployment
    refs = [f"alone{number}.it" for number in range(4)]
    for ref in refs:
        deployment.add_sensor(ref, ALONE.format(lock=deployment.directory / f"{ref}.lock", log=log))
        deployment.add_rule(f"{ref}_rule", f"{ref}_1")
    return refs


def owners(watched: Watched) -> dict[str, str]:
    rows = watched.deployment.all(
        "SELECT sensor_ref, worker_name FROM sensor_process WHERE status = 'running' ORDER BY sensor_ref"
    )
    return {row["sensor_ref"]: row["worker_name"] for row in rows}


@pytest.fixture
def two(watched: Watched, sensors: list[str]) -> tuple[AgentProcess, AgentProcess]:
    deployment = watched.deployment
    first = deployment.start_agent("sensors-1", sensors=True)
    second = deployment.start_agent("sensors-2", sensors=True)
    until(lambda: len(owners(watched)) == 4, "all sensors running")
    return first, second


@pytest.mark.parametrize("fresh_deployment", ["database", "rabbitmq"], indirect=True)
def test_what_a_killed_service_ran_runs_elsewhere_and_never_twice(
    watched: Watched, log: Path, sensors: list[str], two: tuple[AgentProcess, AgentProcess]
) -> None:
    deployment = watched.deployment
    killed, other = two if "sensors-1" in owners(watched).values() else reversed(two)
    mine = [ref for ref, name in owners(watched).items() if name == killed.name]
    assert mine

    killed.kill()
    at = deployment.one("SELECT clock_timestamp() AS now")["now"]
    until(lambda: all(watched.row(ref, other.name).get("status") == "running" for ref in mine), "the take-over")

    for ref in mine:
        took = (watched.row(ref, other.name)["last_started_at"] - at).total_seconds()
        assert took <= 15 * float(os.environ.get("ATTUNE_TEST_SLOWNESS", "1")), f"{ref} was taken over after {took} s"
    assert "overlap" not in log.read_text()
    assert sorted(log.read_text().splitlines()) == sorted(f"start {ref}" for ref in (*sensors, *mine))


def test_a_service_that_stops_hands_its_sensors_over_at_once(
    watched: Watched, log: Path, sensors: list[str], two: tuple[AgentProcess, AgentProcess]
) -> None:
    leaving, other = two if "sensors-1" in owners(watched).values() else reversed(two)

    assert leaving.stop() == 0
    until(lambda: set(owners(watched).values()) == {other.name} and len(owners(watched)) == 4, "the hand-over")

    assert "overlap" not in log.read_text()


def test_a_service_whose_lock_session_is_ended_takes_its_locks_back_and_its_sensors_run_on(
    watched: Watched, log: Path, two: tuple[AgentProcess, AgentProcess]
) -> None:
    deployment = watched.deployment
    before = {ref: watched.row(ref, name)["pid"] for ref, name in owners(watched).items()}

    ended = deployment.all(
        "SELECT pg_terminate_backend(s.pid) FROM (SELECT DISTINCT l.pid FROM pg_locks l"
        "  JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.locktype = 'advisory' AND a.application_name LIKE 'attune-sensor%%') s"
    )
    assert ended
    for service in (service for service in two if service.name in owners(watched).values()):
        service.wait_for_log("the session that holds the locks of sensors was lost")
    deployment.add_sensor("later.it", watched.tells("later"))
    deployment.add_rule("later.rule", "later.it_1")
    until(lambda: watched.lines("later"), "a later sensor running")

    assert {ref: watched.row(ref, name)["pid"] for ref, name in owners(watched).items() if ref in before} == before
    assert "overlap" not in log.read_text()


def test_a_service_that_hangs_loses_its_sensors_and_ends_them_when_it_wakes(
    watched: Watched, log: Path, two: tuple[AgentProcess, AgentProcess]
) -> None:
    """A service that is stopped by a signal keeps its session: its locks stay, and nothing runs twice."""
    hanging = two[0]
    hanging.signal(signal.SIGSTOP)
    try:
        watched.deployment.add_sensor("later.it", watched.tells("later"))
        watched.deployment.add_rule("later.rule", "later.it_1")
        until(lambda: watched.lines("later"), "the other one taking a new sensor")
    finally:
        hanging.signal(signal.SIGCONT)
    assert "overlap" not in log.read_text()


@pytest.mark.parametrize("fresh_deployment", ["database"], indirect=True)
def test_a_preferred_service_gets_the_sensor_and_only_what_it_is_for(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.start_agent("sensors-a", sensors=True, ATTUNE__SENSOR__ONLY="kept.*")
    deployment.start_agent("sensors-b", sensors=True, ATTUNE__SENSOR__LABELS='{"zone": "b"}')
    deployment.start_agent("sensors-c", sensors=True, ATTUNE_SENSOR_RUNTIMES="python")
    deployment.add_sensor("kept.it", watched.tells("kept"))
    deployment.add_sensor("zone.it", watched.tells("zone"), worker_selector={"zone": "b"})
    deployment.add_sensor(
        "py.it",
        "import time\ntime.sleep(600)\n",
        runtime="core.python",
        worker_affinity={"anti_affinity": [{"match_labels": {"zone": "b"}}]},
    )
    for ref in ("kept.it", "zone.it", "py.it"):
        deployment.add_rule(f"{ref}_rule", f"{ref}_1")

    until(lambda: len(owners(watched)) == 3, "all three")

    found = owners(watched)
    assert (found["zone.it"], found["py.it"]) == ("sensors-b", "sensors-c")
    assert found["kept.it"] in ("sensors-a", "sensors-b")
