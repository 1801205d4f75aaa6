"""What must be the same in two languages is written once in each, and compared here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent import liveness
from agent.authorities import AUTHORITIES

ROOT = Path(__file__).resolve().parents[2]
_INTERVAL = re.compile(r"last_heartbeat\s*[<>]=?\s*(?:clock_timestamp|now)\(\)\s*-\s*interval '(\d+) seconds'")


@pytest.mark.parametrize("path", sorted((ROOT / "agent").rglob("*.sql")), ids=lambda path: path.parent.name)
def test_statements_take_a_worker_for_dead_when_python_does(path: Path) -> None:
    assert {float(seconds) for seconds in _INTERVAL.findall(path.read_text())} <= {liveness.DEAD_AFTER}


def test_the_launcher_looks_for_authorities_where_the_agent_does() -> None:
    source = (ROOT / "build" / "launcher" / "start.c").read_text()
    listed = re.search(r"AUTHORITIES\[\] = \{(.*?)\}", source, re.DOTALL)
    assert listed is not None
    assert re.findall(r'"([^"]+)"', listed[1]) == [*AUTHORITIES]
