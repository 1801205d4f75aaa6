"""What one result of ten megabytes costs an agent in memory, and what it keeps of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.memory import resident_bytes
from tests.bench.stack import Stack, add_action, start_agent, stop_agent
from tests.bench.workload import Workload

_MIB = 1024 * 1024

#: What an action prints, and as what it is read.
KINDS: Mapping[str, tuple[str, str]] = {
    "text": ("yes 'a line of a log, as there are many of them' | head -c 10000000\n", "text"),
    "other letters": ("yes 'Zeile: ä ü € 漢字 🎉' | head -c 10000000\n", "text"),
    "NUL characters": ("head -c 10000000 /dev/zero\n", "text"),
    "JSON": ("printf '['; yes '{\"name\": \"value\", \"n\": 12345},' | head -n 320000; printf '1]'\n", "json"),
}
#: What is stored in place of a NUL character has three bytes, so that result has 30 MB.
WANTED = dict.fromkeys(KINDS, "at most 60 MB, 3 kept") | {"NUL characters": "3 kept"}


@dataclass(frozen=True)
class LargeResult:
    """MiB above what the agent had when it was idle: at the most, and a moment after the end."""

    peak: float
    kept: float


def large_results(stack: Stack) -> dict[str, LargeResult]:
    """Run one action of each kind, after one that lets caches fill."""
    for number, (script, output_format) in enumerate(KINDS.values()):
        add_action(stack, f"large_{number}", script, output_format)
    # Pages are given back at each heartbeat.
    agent, worker_id = start_agent(stack, ATTUNE__WORKER__HEARTBEAT_INTERVAL="1")
    work = Workload(stack, worker_id)
    _run(work, "bench.hello")
    found = {}
    for number, kind in enumerate(KINDS):
        time.sleep(5)
        idle = resident_bytes(agent.pid)
        Path(f"/proc/{agent.pid}/clear_refs").write_text("5")  # the peak counts from now on (proc(5))
        _run(work, f"bench.large_{number}")
        peak = resident_bytes(agent.pid, "VmHWM")
        time.sleep(5)
        kept = resident_bytes(agent.pid)
        found[kind] = LargeResult((peak - idle) / _MIB, (kept - idle) / _MIB)
    work.close()
    stop_agent(stack, agent)
    return found


def _run(work: Workload, action: str) -> None:
    (execution_id,) = work.schedule(action, 1)
    work.dispatch(execution_id, action)
    work.wait_for_completions(1)
    work.purge()
