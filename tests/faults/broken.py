"""Copies of the product from which one promise was taken: the harness must notice each."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.servers import ROOT
from tests.faults.site import Program


@dataclass(frozen=True)
class Break:
    """What is replaced in which file, and the scenario that must notice it."""

    path: str
    old: str
    new: str
    scenario: str


BREAKS = {
    "no claim guard": Break(
        "agent/execution/recording/queries.sql",
        "AND (status::text = 'scheduled' OR (status::text = 'running' AND id = ANY($6)))",
        "AND ($6::bigint[] IS NOT NULL)",
        "duplicates",
    ),
    "no acknowledgement": Break(
        "agent/execution/recording/unannounced.py",
        "self._acknowledge(self._deliveries)",
        "pass",
        "duplicates",
    ),
    "unguarded end": Break(
        "agent/execution/recording/queries.sql",
        "AND e.status::text IN ('running', 'canceling')",
        "",
        "stopped while somebody ends its rows",
    ),
    "no reconciliation": Break(
        "agent/worker/reconciliation.py",
        "    store.end_earlier_sessions()\n",
        "    return\n",
        "killed while jobs run",
    ),
    "no repeated completion": Break(
        "agent/worker/reconciliation.py",
        "    if any(since):\n",
        "    if False:\n",
        "killed before messages",
    ),
    "leftovers live on": Break(
        "agent/worker/service.py",
        "        self._end_leftovers(parts)\n",
        "",
        "killed while jobs run",
    ),
}


@contextmanager
def broken_copy(broken: Break) -> Iterator[Program]:
    """Make a copy of the agent with one break; give what starts it."""
    with TemporaryDirectory(prefix="attune-broken-") as name:
        copy = Path(name)
        shutil.copytree(ROOT / "agent", copy / "agent", ignore=shutil.ignore_patterns("__pycache__"))
        for data in ("packs", "migrations"):
            (copy / data).symlink_to(ROOT / data)
        path = copy / broken.path
        text = path.read_text()
        assert text.count(broken.old) == 1, f"{broken.path} has changed: {broken.old!r}"
        path.write_text(text.replace(broken.old, broken.new))
        yield Program((sys.executable, "-m", "agent"), copy)
