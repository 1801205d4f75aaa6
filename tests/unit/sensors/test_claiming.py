"""Who takes a free sensor: the one that fits best, then the others in turn; a last owner that lives gets its time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.placement.candidate import Candidate
from agent.sensors.claiming import TAKEOVER, TURN, Claim, claims, is_ours, unfit, unplaceable
from agent.sensors.model import Sensor
from agent.sensors.store import SensorProcess

SENSOR = Sensor(
    *(1, "watch.it", 1, "watch", "it.sh", 1, "Shell", ["bash"], None, {}, {}, [], {}, None, None, ["watch.t"], 1, "d"),
    *("1", "", "{}"),
)


def service(number: int, *, in_hand: int = 0, slots: int = 10, **capabilities: Any) -> Candidate:
    own = {"runtimes": ["shell", "python"], "max_concurrent_executions": slots, "sensor_locks": True}
    return Candidate(number, f"s{number}", "active", False, None, 1.0, own | capabilities, in_hand)


def process(worker: int, status: str = "running", **values: Any) -> SensorProcess:
    made = SensorProcess(SENSOR.id, worker, status, 0, None, None, 0, None, 1.0, "active", 1.0)
    return replace(made, **values)


def taken(me: int, *services: Candidate, processes: tuple[SensorProcess, ...] = (), sensor: Sensor = SENSOR) -> object:
    found = claims([sensor], services, processes, me=me, free_since={sensor.id: 100.0})
    return found[0].at - 100.0 if found else None


def test_the_one_with_the_fewest_sensors_takes_it_at_once_and_the_others_in_turn() -> None:
    fleet = service(1, in_hand=2), service(2, in_hand=0), service(3, in_hand=1)
    assert [taken(number, *fleet) for number in (1, 2, 3)] == [2 * TURN, 0.0, TURN]


def test_preference_outranks_load_and_a_name_decides_between_equals() -> None:
    wanted = {"preferred": [{"weight": 5, "preference": {"match_labels": {"zone": "b"}}}]}
    sensor = replace(SENSOR, affinity=wanted)
    fleet = service(1), service(2, in_hand=4, labels={"zone": "b"}), service(3)
    assert [taken(number, *fleet, sensor=sensor) for number in (1, 2, 3)] == [TURN, 0.0, 2 * TURN]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"status": "busy"}, id="stopping"),
        pytest.param({"cordoned": True}, id="cordoned"),
        pytest.param({"heartbeat_age": 91.0}, id="silent"),
        pytest.param({"in_hand": 10}, id="full"),
        pytest.param({"capabilities": {"runtimes": ["node"]}}, id="without the runtime"),
        pytest.param({"capabilities": {"runtimes": ["shell"], "sensor_only": ["other.*"]}}, id="kept for others"),
        pytest.param(
            {"capabilities": {"runtimes": ["shell"], "taints": [{"key": "x", "effect": "no_schedule"}]}}, id="tainted"
        ),
    ],
)
def test_who_does_not_fit_takes_nothing(changes: dict[str, Any]) -> None:
    assert taken(1, replace(service(1), **changes)) is None
    assert taken(2, replace(service(1), **changes), service(2, in_hand=3)) == 0.0


def test_a_last_owner_that_may_live_gets_the_time_to_end_its_child() -> None:
    fleet = service(1), service(2)
    assert taken(2, service(2), processes=(process(1),)) == TAKEOVER
    assert taken(1, *fleet, processes=(process(1),)) == 0.0
    assert taken(2, service(2), processes=(process(1, heartbeat_age=95.0),)) == 0.0
    assert taken(2, service(2), processes=(process(1, worker_status="inactive"),)) == 0.0
    assert taken(2, service(2), processes=(process(1, "stopped"), process(3, "backoff"))) == 0.0


def test_who_could_not_start_it_leaves_it_to_others_until_something_changes() -> None:
    refusal = process(1, "failed", told=SENSOR.told.digest)
    assert taken(1, service(1), service(2, in_hand=5), processes=(refusal,)) is None
    assert taken(2, service(1), service(2, in_hand=5), processes=(refusal,)) == 0.0
    assert taken(1, service(1), processes=(replace(refusal, age=61.0),)) == 0.0
    assert taken(1, service(1), processes=(replace(refusal, told="another"),)) == 0.0


def test_several_free_sensors_are_spread() -> None:
    sensors = [replace(SENSOR, id=number, ref=f"watch.s{number}") for number in range(1, 7)]
    free = {sensor.id: 0.0 for sensor in sensors}
    fleet = [service(1), service(2)]
    first = [claim.sensor for claim in claims(sensors, fleet, (), me=1, free_since=free) if claim.at == 0.0]
    second = [claim.sensor for claim in claims(sensors, fleet, (), me=2, free_since=free) if claim.at == 0.0]
    assert (first, second) == ([1, 3, 5], [2, 4, 6])


def test_what_somebody_runs_is_not_claimed() -> None:
    assert claims([SENSOR], [service(1)], (), me=1, free_since={}) == []
    assert claims([SENSOR], [service(1)], (), me=1, free_since={1: 5.0}) == [Claim(1, 5.0)]


def test_only_names_patterns_of_references() -> None:
    assert is_ours("core.timer_sensor", ())
    assert is_ours("core.timer_sensor", ("core.*", "mine.one"))
    assert not is_ours("other.one", ("core.*", "mine.one"))


def test_who_runs_a_sensor_keeps_it_while_cordoned_and_not_without_its_runtime() -> None:
    assert unfit(SENSOR, replace(service(1), cordoned=True)) is None
    assert unfit(SENSOR, service(1, runtimes=["node"])) == "offers node; not shell"


def test_a_sensor_that_fits_nobody_is_told_of_by_each_with_its_own_reason() -> None:
    sensor = replace(SENSOR, selector={"zone": "moon"})
    fleet = [service(1), service(2, runtimes=["node"])]
    assert unplaceable(sensor, fleet, 1) == "has no label zone (required: moon)"
    assert unplaceable(sensor, fleet, 2) == "offers node; not shell"
    assert unplaceable(sensor, [*fleet, service(3, labels={"zone": "moon"})], 1) is None
    full = service(3, in_hand=10, labels={"zone": "moon"})
    assert "as many as it may" in str(unplaceable(sensor, [*fleet, full], 3))
