"""The rows of sensors' logs: an artifact for each stream of a sensor, a version for each piece."""

from __future__ import annotations

import json
from typing import NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Database

Retention = tuple[str, int]


class NewVersion(NamedTuple):
    """A version that was made for a piece."""

    id: int
    artifact: int
    file_path: str


class LogStore:
    """For one thread. Each method raises DatabaseError."""

    def __init__(self, database: Database, *, usual_retention: Retention) -> None:
        """``usual_retention`` is that of what nobody says anything about: the policy and the amount."""
        self._database = database
        self._sql = Statements("agent.sensors")
        self.usual_retention = usual_retention

    def add(
        self, ref: str, sensor_ref: str, stream: str, retention: Retention, size: int
    ) -> tuple[NewVersion, list[str]]:
        """Make a version; return it, and the files of versions that retention has removed for it."""
        values = {
            "ref": ref,
            "sensor_ref": sensor_ref,
            "stream": stream,
            "name": f"{sensor_ref} {stream}",
            "description": f"What {sensor_ref} wrote to {stream}",
            "policy": retention[0],
            "amount": retention[1],
            "size": size,
            "meta": json.dumps({"sensor_ref": sensor_ref, "stream": stream}),
        }
        with self._database.connection() as connection:
            self._sql.run(connection, "lock_sensor_log", values)
            self._sql.run(connection, "upsert_sensor_log", values)
            before = set(self._sql.values(connection, "sensor_log_files", values))
            made = self._sql.one(connection, NewVersion, "insert_sensor_log_version", values)
            assert made is not None, "the artifact was made just before"
            after = set(self._sql.values(connection, "sensor_log_files", values))
        return made, sorted(before - after)

    def measure(self, version: NewVersion, size: int) -> None:
        """Write how large a version has become."""
        values = {"id": version.id, "artifact": version.artifact, "size": size}
        with self._database.connection() as connection:
            self._sql.run(connection, "measure_sensor_log", values)
