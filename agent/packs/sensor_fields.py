"""What a sensor's entry point and ``config`` may hold, wherever they are written (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BUILTIN = "core.sensor.builtin"
"""The runtime of sensors whose program is part of this one; its alias ``builtin`` means native everywhere else, so only
the whole ref counts."""

PROGRAMS = ("timer",)
"""The entry points of such sensors: each is the name of a command of ``attune-agent``, and no pack has a file of it."""

RELOADS = ("restart", "self")
"""Who follows changed rules: the service, which starts the sensor again (the default), or the sensor itself."""


def is_builtin(runtime: str) -> bool:
    """Whether a sensor of this runtime is a program of ours."""
    return runtime.strip().lower() == BUILTIN


def wrong_program(entrypoint: str) -> str | None:
    """Say what is wrong with the entry point of such a sensor, None when nothing is."""
    if entrypoint in PROGRAMS:
        return None
    return f"with the runtime {BUILTIN} it names a program of ours: {', '.join(PROGRAMS)}"


def wrong_config(config: Mapping[str, Any] | None) -> str | None:
    """Say what is wrong with a sensor's ``config``: all of it is the sensor's own but the key ``reload``."""
    reload = None if config is None else config.get("reload")
    if reload is None or reload in RELOADS:
        return None
    return f"reload must be one of {', '.join(RELOADS)}"
