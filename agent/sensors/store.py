"""The statements of the sensor service that need no connection of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.errors import InvalidExecution
from agent.liveness import DEAD_AFTER
from agent.mq.broker import Outgoing
from agent.placement.candidate import Candidate, candidate_of
from agent.presence.alerts import Alert, write_alert
from agent.sensors.model import ProcessRow, Sensor


@dataclass(frozen=True)
class SensorProcess:
    """What a service has said of a sensor; ``age`` and ``heartbeat_age`` are in seconds."""

    sensor: int
    worker: int
    status: str
    consecutive_failures: int
    last_started_at: datetime | None
    last_stopped_at: datetime | None
    last_alerted_failure_count: int
    told: str | None
    age: float
    worker_status: str
    heartbeat_age: float | None


class _Identity(NamedTuple):
    id: int
    frozen: bool


class SensorStore:
    """For any thread. Each method raises DatabaseError."""

    def __init__(self, database: Database, *, worker_id: int, worker_name: str, switched_off_too: bool = False) -> None:
        """Write rows of the service with this id and name; ``switched_off_too``: sensors that are off may be needed."""
        self._database = database
        self._worker_id = worker_id
        self._worker_name = worker_name
        self._switched_off_too = switched_off_too
        self._sql = Statements("agent.sensors")

    def wanted(self) -> list[Sensor]:
        """Return the sensors that somebody needs, without what their children are told of rules."""
        return self._wanted(None, with_instances=False)

    def with_instances(self, sensor_id: int) -> Sensor | None:
        """Return one of them with what its child is told; None when nobody needs it any longer."""
        return next(iter(self._wanted(sensor_id, with_instances=True)), None)

    def _wanted(self, sensor_id: int | None, *, with_instances: bool) -> list[Sensor]:
        values = {"sensor": sensor_id, "with_instances": with_instances, "switched_off_too": self._switched_off_too}
        with self._database.connection() as connection:
            return self._sql.all(connection, Sensor, "wanted_sensors", values)

    def services(self) -> list[Candidate]:
        """Return the sensor services that are alive and lock what they run, as placement sees them."""
        with self._database.connection() as connection:
            found = self._sql.mappings(connection, "sensor_services")
        alive = [candidate_of(one) for one in found if one["alive"]]
        return [replace(one, capabilities=_slots_named_alike(one.capabilities)) for one in alive if _locks(one)]

    def strangers(self) -> list[str]:
        """Return the names of sensor services that seem to be alive and lock nothing: they are of another make."""
        with self._database.connection() as connection:
            found = [candidate_of(one) for one in self._sql.mappings(connection, "sensor_services")]
        return [
            one.name
            for one in found
            if not _locks(one) and one.status == "active" and (one.heartbeat_age or 0.0) <= DEAD_AFTER
        ]

    def processes(self, sensors: Sequence[int]) -> list[SensorProcess]:
        """Return what all services say of these sensors."""
        with self._database.connection() as connection:
            return self._sql.all(connection, SensorProcess, "processes", {"sensors": list(sensors)})

    def write(self, row: ProcessRow) -> None:
        """Write this service's row of a sensor; nothing where the sensor is gone."""
        values = asdict(row)
        meta = {"manager": "attune-sensor", "reason": values.pop("reason"), "told": values.pop("told")}
        values["meta"] = json.dumps({key: value for key, value in meta.items() if value is not None})
        values |= {"worker": self._worker_id, "worker_name": self._worker_name}
        with self._database.connection() as connection:
            self._sql.run(connection, "write_process", values)

    def end_stale(self, at: datetime | None) -> list[int]:
        """Correct what an earlier life of this service left, which was last heard of at ``at``; return its sensors."""
        values = {"worker": self._worker_id, "at": at}
        with self._database.connection() as connection:
            return self._sql.values(connection, "end_stale_processes", values)

    def absent_since(self, sensor_id: int) -> datetime | None:
        """Return since when no process of the sensor has run; None for one that has never run."""
        with self._database.connection() as connection:
            found: datetime | None = self._sql.value(connection, "absent_since", {"sensor": sensor_id})
        return found

    def identity(self, sensor_ref: str) -> int:
        """Return the account of a sensor, made where there is none.

        Raises:
            InvalidExecution: an operator has frozen it.
        """
        with self._database.connection() as connection:
            found = self._sql.one(connection, _Identity, "sensor_identity", {"login": f"sensor:{sensor_ref}"})
        assert found is not None, "INSERT ... RETURNING gives one row"
        if found.frozen:
            raise InvalidExecution(
                f"the account sensor:{sensor_ref} is frozen", hint="unfreeze it, or disable the sensor"
            )
        return found.id

    def alert(self, alert: Alert) -> Outgoing | None:
        """Write an alert; return the message that tells of it, None where nobody could listen."""
        with self._database.connection() as connection:
            return write_alert(connection, alert)


def _locks(service: Candidate) -> bool:
    """Whether it runs a sensor only while it holds the sensor's lock."""
    return service.capabilities.get("sensor_locks") is True


def _slots_named_alike(capabilities: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a sensor service can do with its slots under the name that a worker's have."""
    return {**capabilities, "max_concurrent_executions": capabilities.get("max_concurrent_sensors")}
