"""The short form of the table of faults: nothing is lost, nothing happens twice, nothing is stuck or left behind.

In a process of its own, as ``make faults``: what the faults do to connections is no leak of the tests.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.broken import BREAKS
from tests.faults.scenarios import SHORT_FORM
from tests.faults.servers import ROOT, missing
from tests.services.availability import unavailable

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
]


def run(*arguments: str, program: str = "tests.faults") -> subprocess.CompletedProcess[str]:
    """Run the harness, or another ``program`` beside it."""
    if missing():
        unavailable("the servers", f"install the Debian packages {' and '.join(missing())}")
    return subprocess.run(
        [sys.executable, "-m", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_every_promise_is_kept_whatever_fails() -> None:
    done = run("--short")
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout
    assert all(f"{name}: ok" in done.stderr for name in SHORT_FORM)


def test_each_broken_copy_of_the_product_is_noticed() -> None:
    done = run("--broken")
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout
    assert done.stderr.count(": noticed") == len(BREAKS)


def test_what_the_agent_uses_stays_flat_while_faults_go_on() -> None:
    done = run("--executions", "2000", "--minutes", "2", program="tests.faults.soak")
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout
