"""Which free sensors this service takes, and when: one owner each, chosen alike by all who look (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.liveness import DEAD_AFTER
from agent.placement.affinity import preference
from agent.placement.candidate import Candidate
from agent.placement.fit import lacks, misfit
from agent.sensors.model import Sensor
from agent.sensors.store import SensorProcess

#: Seconds that a sensor stays free whose last owner seems to be alive: that one needs less to end its child.
TAKEOVER = 10.0
#: Seconds that each less suitable service waits for those before it.
TURN = 2.0
#: Seconds for which a service that could not start a sensor leaves it to others.
REFUSAL = 60.0


@dataclass(frozen=True)
class Claim:
    """A free sensor and when this service may take it (seconds of the caller's clock)."""

    sensor: int
    at: float


def is_ours(ref: str, only: Sequence[str]) -> bool:
    """Whether the operator lets this sensor run here: one of the patterns says so, or there are none."""
    return not only or any(fnmatchcase(ref, pattern) for pattern in only)


def unfit(sensor: Sensor, service: Candidate) -> str | None:
    """Say why a service that runs the sensor can't keep it, None when it can; a cordon is no reason."""
    return next(iter(lacks(sensor.demand, service)), None)


def unplaceable(sensor: Sensor, services: Sequence[Candidate], me: int) -> str | None:
    """Say why this service can't take a free sensor that no other can either; None where one can."""
    problems = {service.id: _problem(sensor, service) for service in services}
    return problems.get(me) if all(problems.values()) else None


def _problem(sensor: Sensor, service: Candidate) -> str | None:
    if not is_ours(sensor.ref, _only(service)):
        return "is kept for other sensors (sensor.only)"
    if (problem := misfit(sensor.demand, service)) is not None:
        return problem
    full = service.in_hand >= service.slots
    return f"runs {service.in_hand} sensors, as many as it may (sensor.max_concurrent_sensors)" if full else None


def claims(
    sensors: Iterable[Sensor],
    services: Sequence[Candidate],
    processes: Iterable[SensorProcess],
    *,
    me: int,
    free_since: Mapping[int, float],
) -> list[Claim]:
    """Return which of the free sensors this service takes, if nobody else does before; ``me`` is its id.

    The most preferred service takes a sensor at once, then the one with the fewest sensors; each other waits for its
    turn. So each sensor has an owner also when one of them doesn't act.
    """
    said: dict[int, list[SensorProcess]] = {}
    for process in processes:
        said.setdefault(process.sensor, []).append(process)
    load = {service.id: service.in_hand for service in services}
    found = []
    for sensor in sensors:
        if sensor.id not in free_since:
            continue
        about = said.get(sensor.id, [])
        ranked = _ranked(sensor, services, about, load)
        if not ranked:
            continue
        load[ranked[0]] += 1
        if me in ranked:
            wait = TAKEOVER if any(_seems_to_run(process, me) for process in about) else 0.0
            found.append(Claim(sensor.id, free_since[sensor.id] + wait + TURN * ranked.index(me)))
    return found


def _ranked(
    sensor: Sensor, services: Sequence[Candidate], about: Sequence[SensorProcess], load: Mapping[int, int]
) -> list[int]:
    refused = {
        process.worker
        for process in about
        if process.status == "failed" and process.told == sensor.told.digest and process.age < REFUSAL
    }
    fitting = [
        service
        for service in services
        if service.id not in refused
        and load[service.id] < service.slots
        and is_ours(sensor.ref, _only(service))
        and misfit(sensor.demand, service) is None
    ]
    order = sorted(fitting, key=lambda one: (-preference(sensor.affinity, one.labels), load[one.id], one.name))
    return [service.id for service in order]


def _only(service: Candidate) -> Sequence[str]:
    patterns = service.capabilities.get("sensor_only")
    return [pattern for pattern in patterns if isinstance(pattern, str)] if isinstance(patterns, list) else []


def _seems_to_run(process: SensorProcess, me: int) -> bool:
    """Whether another service that was heard of lately may still have a child: its lock alone can have been lost."""
    return (
        process.worker != me
        and process.status in ("starting", "running")
        and process.worker_status in ("active", "busy")
        and process.heartbeat_age is not None
        and process.heartbeat_age < DEAD_AFTER
    )
