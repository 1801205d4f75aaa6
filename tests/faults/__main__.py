"""Print the table of faults: ``python -m tests.faults [--short] [--frozen FILE] [--scale N] [SCENARIO…]``.

The exit code is 1 where anything was lost, duplicated, stuck or left behind.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.audit import Audit, audit
from tests.faults.broken import BREAKS, broken_copy
from tests.faults.scenarios import SCENARIOS, SHORT_FORM
from tests.faults.servers import Servers, running_servers
from tests.faults.site import Program, Site, Skipped, site

#: How much of a scenario's executions the short form runs.
_SHORT_SCALE = 0.25


def run(
    servers: Servers, name: str, *, program: Program, scale: float, patience: float = 60.0, logs: Path | None = None
) -> tuple[Audit, float | None]:
    """Run one scenario; return its audit, and the seconds that it took to recover. Raises Skipped.

    Where something is wrong, what the agents logged is copied into the directory ``logs``.
    """
    with site(servers, program=program, scale=scale, patience=patience) as laid_out:
        problem = _attempt(laid_out, name)
        found = audit(laid_out)
        if problem is not None:
            found.complaints[:0] = [problem, *(agent.log()[-2000:] for agent in laid_out.agents[-2:])]
        if logs is not None and not found.clean:
            kept = logs / name.replace(" ", "-")
            kept.mkdir(parents=True, exist_ok=True)
            for log in laid_out.directory.glob("*.log"):
                shutil.copy(log, kept)
        return found, laid_out.recovery


def _break() -> int:
    """Run each broken copy through the scenario that must notice it; 1 where one does not."""
    unnoticed = []
    with running_servers() as servers:
        for what, broken in BREAKS.items():
            with broken_copy(broken) as program:
                found, _ = run(servers, broken.scenario, program=program, scale=0.1, patience=15.0)
            print(f"{what}: {'NOT NOTICED' if found.clean else 'noticed'}", file=sys.stderr, flush=True)
            unnoticed += [what] if found.clean else []
    return 1 if unnoticed else 0


def _attempt(laid_out: Site, name: str) -> str | None:
    try:
        SCENARIOS[name].run(laid_out)
    except Skipped:
        raise
    except Exception:
        laid_out.database.accept()
        laid_out.broker.accept()
        return traceback.format_exc()
    return None


def main(words: list[str]) -> int:
    """Run what the words ask for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--short", action="store_true", help="the scenarios and the size of continuous integration")
    parser.add_argument("--broken", action="store_true", help="run copies of the product that break a promise each")
    parser.add_argument("--frozen", type=Path, help="the one-file agent to test instead of the source")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of executions")
    parser.add_argument("--logs", type=Path, help="where to keep what the agents logged in scenarios that fail")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    given = parser.parse_args(words)
    if given.broken:
        return _break()
    names = given.scenarios or (SHORT_FORM if given.short else list(SCENARIOS))
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    program = Program() if given.frozen is None else Program((str(given.frozen.resolve()),), Path("/"))
    scale = _SHORT_SCALE if given.short else given.scale
    table = Table(title=f"faults, {'the one-file agent' if given.frozen else 'from source'}")
    for column in (
        "scenario",
        "executions",
        "lost",
        "duplicated",
        "stuck",
        "left behind",
        "s to recover",
        "at most",
        "s in all",
    ):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    clean = True
    with running_servers() as servers:
        for name in names:
            began = time.monotonic()
            try:
                found, recovery = run(servers, name, program=program, scale=scale, logs=given.logs)
            except Skipped as why:
                table.add_row(name, f"skipped: {why}")
                print(f"{name}: skipped, {why}", file=sys.stderr, flush=True)
                clean = clean and not os.environ.get("CI")
                continue
            clean = clean and found.clean
            table.add_row(
                name,
                *(str(n) for n in (found.executions, found.lost, found.duplicated, found.stuck, len(found.complaints))),
                "" if recovery is None else f"{recovery:.1f}",
                f"{SCENARIOS[name].at_most:g}",
                f"{time.monotonic() - began:.0f}",
            )
            print(f"{name}: {'ok' if found.clean else 'FAILED'}", file=sys.stderr, flush=True)
            for complaint in found.complaints[:20]:
                print(f"  {complaint}", file=sys.stderr, flush=True)
    Console(width=120).print(table)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
