"""Who this worker is: the values of its row (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.runtimes.offered import Role
from agent.settings import WorkerSettings


@dataclass(frozen=True)
class Identity:
    """What a worker tells about itself when it registers."""

    name: str
    role: Literal["action", "sensor"]
    worker_type: str
    runtime: int | None
    host: str | None
    port: int | None
    capabilities: Mapping[str, Any]
    origin: Mapping[str, str]

    @classmethod
    def of(cls, settings: WorkerSettings, role: Role, capabilities: Mapping[str, Any]) -> Identity:
        """Take the row's values from settings whose name has been resolved."""
        return cls(
            name=settings.name or f"{role}-unknown",
            role="sensor" if role == "sensor" else "action",
            worker_type=settings.worker_type or "local",
            runtime=settings.runtime_id,
            host=settings.host,
            port=settings.port,
            capabilities=capabilities,
            origin=settings.origin,
        )
