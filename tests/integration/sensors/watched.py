"""Sensors that tell what they were given, and what the service says of them."""

from __future__ import annotations

import json
from typing import Any

from tests.services.deployment import Deployment
from tests.services.waiting import until


class Watched:
    """The sensors of one deployment; ``$TOLD-<name>`` is where those of a test tell, a line for each life."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def tells(self, name: str, what: str = '"$ATTUNE_SENSOR_TRIGGERS"') -> str:
        """A script that writes what it was given, and waits."""
        return f"#!/bin/sh\nprintf '%s\\n' {what} >> \"$TOLD-{name}\"\nexec sleep 600\n"

    def lines(self, name: str) -> list[str]:
        """What each life of a test's sensor has written."""
        file = self.deployment.directory / f"told-{name}"
        return file.read_text().splitlines() if file.exists() else []

    def lives(self, name: str) -> list[list[dict[str, Any]]]:
        """What each life was told of its rules."""
        return [json.loads(line) for line in self.lines(name)]

    def rule_like(self, ref: str) -> dict[str, Any]:
        """The columns of a rule that another one is made of."""
        row = self.deployment.one("SELECT * FROM rule WHERE ref = %s", [ref])
        names = ("pack", "pack_ref", "label", "action_ref", "trigger", "trigger_ref", "enabled")
        return {name: row[name] for name in names}

    def row(self, ref: str, worker: str = "sensors-1") -> dict[str, Any]:
        """The row of a sensor's process, empty where there is none."""
        found = self.deployment.all(
            "SELECT *, status::text AS status FROM sensor_process WHERE sensor_ref = %s AND worker_name = %s",
            [ref, worker],
        )
        return found[0] if found else {}

    def wait(self, ref: str, *statuses: str, worker: str = "sensors-1") -> dict[str, Any]:
        """Wait until the row says one of these."""
        until(lambda: self.row(ref, worker).get("status") in statuses, f"{ref} being {' or '.join(statuses)}")
        return self.row(ref, worker)
