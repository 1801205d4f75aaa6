"""Processes that nobody waits for."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.source_trees import ROOT

# In a process of its own: this one may have started servers for other tests.
ABANDONS = """
import os
from agent.process.orphans import kill_orphans
pid = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
assert kill_orphans(None) == 1
assert not os.path.exists(f"/proc/{pid}")
assert kill_orphans(None) == 0
"""


def test_a_child_that_nobody_knows_is_killed_and_collected() -> None:
    done = subprocess.run([sys.executable, "-c", ABANDONS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
