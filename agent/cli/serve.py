"""Start the service: load the settings, set up logging, say what was ignored, hand over to ``agent.worker``."""

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


def prepare(config: str | None, name: str | None = None) -> Loaded:
    """Load the settings and set up logging as they say.

    Raises:
        ConfigurationError: see ``load_settings``.
    """
    overrides = {"worker.name": name} if name is not None else {}
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
