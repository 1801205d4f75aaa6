"""Core dumps (core(5)) hold what a process knew, and jobs know secrets: nobody writes one who doesn't ask for it."""

from __future__ import annotations

import resource


def write_none() -> None:
    """Let this process and all that it starts write none; an action may raise its own limit (``ulimit -c``)."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
