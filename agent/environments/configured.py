"""The manager of environments as the settings want it."""

from __future__ import annotations

import logging

from agent.db.pool import Database
from agent.environments.manager import EnvironmentManager
from agent.environments.store import EnvironmentStore
from agent.runtimes.machine import Machine
from agent.settings import Settings

log = logging.getLogger(__name__)


def configured_manager(
    settings: Settings, database: Database, machine: Machine, *, worker_id: int | None = None
) -> EnvironmentManager:
    """Make it; what ``worker_id`` builds is recorded as its own."""
    return EnvironmentManager(
        runtime_envs_dir=settings.runtime_envs_dir,
        packs_base_dir=settings.packs_base_dir,
        store=EnvironmentStore(database),
        worker_id=lambda: worker_id,
        create_timeout=settings.worker.environment_timeout,
        install_timeout=settings.worker.install_timeout,
        network=settings.network,
        uv=_uv(settings, machine),
        max_bytes=settings.environments.max_bytes,
        container=machine.env,
    )


def _uv(settings: Settings, machine: Machine) -> str | None:
    """The program that builds virtual environments instead of venv and pip."""
    installer = settings.runtimes.python.installer
    found = None if installer == "pip" else machine.find("uv")
    if installer == "uv" and found is None:
        log.warning("runtimes.python.installer is uv, but uv is not on PATH: venv and pip are used")
    return found
