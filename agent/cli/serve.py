"""Start the service: load the settings, set up logging, say what was ignored, hand over."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from agent.configuration import Loaded, load_settings
from agent.logs import add_secret, configure_logging

log = logging.getLogger(__name__)


def serve_agent(config: str | None, name: str | None) -> int:
    """Run as the injected agent; return the exit code."""
    from agent.worker.service import StartupMode, run_worker

    return run_worker(prepare(config, name), mode=StartupMode.AGENT)


def serve_worker(config: str | None, name: str | None) -> int:
    """Run as a full worker; return the exit code."""
    from agent.worker.service import StartupMode, run_worker

    return run_worker(prepare(config, name), mode=StartupMode.WORKER)


def serve_sensors(config: str | None, name: str | None, *, agent_mode: bool) -> int:
    """Run as a sensor service, injected or full; return the exit code."""
    from agent.sensors.service import run_sensors

    return run_sensors(prepare(config, name, key="sensor.worker_name"), agent_mode=agent_mode)


def prepare(config: str | None, name: str | None = None, *, key: str = "worker.name") -> Loaded:
    """Load the settings and set up logging as they say; ``name`` is the value of ``key``.

    Raises:
        ConfigurationError: see ``load_settings``.
    """
    overrides = {key: name} if name is not None else {}
    loaded = load_settings(os.environ, config=Path(config) if config is not None else None, overrides=overrides)
    settings = loaded.settings
    add_secret(settings.security.jwt_secret)
    for key in settings.security.decryption_keys:
        add_secret(key)
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    configure_logging(settings.log.level, settings.log.format, colour=colour)
    for warning in loaded.warnings:
        log.warning("%s", warning)
    return loaded
