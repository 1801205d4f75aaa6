"""What it costs to send files over HTTP instead of through a shared volume: an execution, and a line on its way."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.control_side import Server, running_server
from tests.bench.latency import latencies
from tests.bench.stack import Stack, add_action, start_agent, stop_agent

_LINES = 20
_SCRIPT = f"for n in $(seq {_LINES}); do date +%s.%N; sleep 0.25; done\n"


@dataclass(frozen=True)
class Found:
    """Medians in milliseconds of an execution that writes a line; 95th percentiles of a line until a viewer has it."""

    volume: float
    api: float
    line_volume: float
    line_api: float


def measure(stack: Stack, rounds: int = 3) -> Found:
    """Measure the two in turns on one server."""
    (stack.directory / "packs" / "bench" / "pack.yaml").write_text("ref: bench\nlabel: Bench\nversion: 1.0.0\n")
    add_action(stack, "lines", _SCRIPT)
    volume, api = [], []
    with running_server(stack) as server:
        apart = _apart(stack, server)
        for _ in range(rounds):
            volume.append(statistics.median(latencies(stack, action="bench.hello")))
            api.append(statistics.median(latencies(stack, action="bench.hello", **apart)))
        lines = [statistics.quantiles(_lines(stack, server, extra), n=20)[18] for extra in ({}, apart)]
    return Found(statistics.median(volume) * 1000, statistics.median(api) * 1000, *(line * 1000 for line in lines))


def _apart(stack: Stack, server: Server) -> dict[str, str]:
    place = stack.directory / "apart"
    return {
        "ATTUNE_API_URL": server.process.url,
        "ATTUNE__PACKS__TRANSPORT": "api",
        "ATTUNE__ARTIFACTS__TRANSPORT": "api",
        "ATTUNE__PACKS_BASE_DIR": str(place / "packs"),
        "ATTUNE__ARTIFACTS_DIR": str(place / "artifacts"),
    }


def _lines(stack: Stack, server: Server, extra: Mapping[str, str]) -> list[float]:
    """Return the seconds from each line's writing to its arrival at a viewer."""
    agent, _ = start_agent(stack, **extra)
    seconds = []
    made = server.client.ok("POST", "/api/v1/executions/execute", {"action_ref": "bench.lines"})["id"]
    url = f"{server.client.url}/api/v1/executions/{made}/logs/stdout/stream"
    headers = {"Authorization": f"Bearer {server.client.token}"}
    with server.client.http.stream("GET", url, headers=headers, timeout=60) as answer:
        for line in answer.iter_lines():
            now = time.time()
            text = line.removeprefix("data:").strip()
            with contextlib.suppress(ValueError):
                text = json.loads(text) if text.startswith('"') else text
                seconds += [now - float(part) for part in str(text).split() if part.startswith("1") and "." in part]
    stop_agent(stack, agent)
    if len(seconds) < _LINES // 2:
        raise RuntimeError(f"only {len(seconds)} of {_LINES} lines arrived")
    return seconds
