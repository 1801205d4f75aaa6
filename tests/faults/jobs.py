"""The jobs of a scenario: each appends a line to a file when it starts, and one when it ends."""

from __future__ import annotations

from pathlib import Path

from tests.services.catalog import Catalog

QUICK, SHORT, LONG, STUBBORN = "fault.quick", "fault.short", "fault.long", "fault.stubborn"
_SCRIPT = '#!/bin/sh\necho "$ATTUNE_EXEC_ID start" >> {trace}\n{body}\necho "$ATTUNE_EXEC_ID end" >> {trace}\n'


def register_jobs(url: str, directory: Path) -> None:
    """Add the actions that a scenario may run; ``directory / "release"`` lets the long ones end."""
    catalog = Catalog(url, directory / "packs")
    trace, release = directory / "trace", directory / "release"
    wait = f"n=0; while [ ! -e {release} ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done"
    for action, body in (
        (QUICK, "echo quick"),
        (SHORT, "echo short; sleep 0.1"),
        (LONG, f"echo long; {wait}"),
        (STUBBORN, f"trap '' TERM; {wait}"),
    ):
        catalog.add_action(action, _SCRIPT.format(trace=trace, body=body))
    catalog.database.close()
