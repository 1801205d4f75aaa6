"""What sensors write, on its way into files."""

from __future__ import annotations

from agent.sensors.model import Sensor


class SensorLog:
    """One stream of one child."""

    def write(self, data: bytes) -> None:
        """Append."""

    def close(self) -> None:
        """End it."""


class SensorLogs:
    """The logs of all sensors of a service."""

    def writer(self, sensor: Sensor, stream: str) -> SensorLog:
        """Return where one stream of a child goes."""
        return SensorLog()
