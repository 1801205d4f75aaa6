"""Who this worker is: the values of its row that come from settings and the machine (pure but for the host's name)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.settings import WorkerSettings


@dataclass(frozen=True)
class Identity:
    """What a worker tells about itself when it registers."""

    name: str
    worker_type: str
    runtime: int | None
    host: str | None
    port: int | None
    capabilities: Mapping[str, Any]


def hostname() -> str | None:
    """Return this machine's name, None where it has none."""
    try:
        return socket.gethostname() or None
    except OSError:
        return None


def worker_name(settings: WorkerSettings, from_environment: str | None) -> str:
    """Return the worker's name: setting or ``--name``, else ``ATTUNE_WORKER_NAME``, else ``worker-<hostname>``."""
    return settings.name or (from_environment or "").strip() or f"worker-{hostname() or 'unknown'}"


def identity(
    settings: WorkerSettings, *, name: str, worker_type: str | None, capabilities: Mapping[str, Any]
) -> Identity:
    """Put the row's values together; ``worker_type`` is what the environment says, used where no setting does."""
    return Identity(
        name=name,
        worker_type=settings.worker_type or worker_type or "local",
        runtime=settings.runtime_id,
        host=settings.host or hostname(),
        port=settings.port,
        capabilities=capabilities,
    )
