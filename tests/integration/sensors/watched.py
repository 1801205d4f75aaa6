"""Sensors that tell what they were given, and what the service says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.services.deployment import Deployment
from tests.services.waiting import until

#: Writes its variables, one life a line, and waits.
TELLS = """#!/bin/sh
printf '%s\\n' "$$ $ATTUNE_SENSOR_TRIGGERS" >> "$TOLD"
exec sleep 600
"""


class Watched:
    """The sensors of one deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.told = deployment.directory / "told"
        deployment.settings["TOLD"] = str(self.told)

    def row(self, ref: str, worker: str = "sensors-1") -> dict[str, Any]:
        """The row of a sensor's process, empty where there is none."""
        found = self.deployment.all(
            "SELECT *, status::text AS status FROM sensor_process WHERE sensor_ref = %s AND worker_name = %s",
            [ref, worker],
        )
        return found[0] if found else {}

    def status(self, ref: str, worker: str = "sensors-1") -> str | None:
        """What the row says."""
        return self.row(ref, worker).get("status")

    def wait(self, ref: str, *statuses: str, worker: str = "sensors-1") -> dict[str, Any]:
        """Wait until the row says one of these."""
        until(lambda: self.status(ref, worker) in statuses, f"{ref} being {' or '.join(statuses)}")
        return self.row(ref, worker)

    def lives(self, path: Path | None = None) -> list[list[dict[str, Any]]]:
        """What each life of the sensor was told of its rules."""
        file = path or self.told
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line.partition(" ")[2]) for line in lines]
