"""Sensors whose program is part of this one: an entry point names it, and no pack has a file of it."""

from __future__ import annotations

import sys

from agent.packs.sensor_fields import PROGRAMS


def own_program(entrypoint: str) -> tuple[str, ...] | None:
    """Return the command that runs one of our own sensors, None for a name that is none of them."""
    if entrypoint not in PROGRAMS:
        return None
    if getattr(sys, "frozen", False):
        return (sys.executable, entrypoint)
    return (sys.executable, "-P", "-m", "agent", entrypoint)
