"""The worker's metrics as text, in the exposition format of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agent.counters import BOUNDS, Counters, Labels

#: Name, type and meaning; labels in parentheses.
METRICS: Mapping[str, tuple[str, str]] = {
    "attune_worker_executions_total": ("counter", "executions that ended (status, cause)"),
    "attune_worker_execution_duration_seconds": ("histogram", "from the spawn to the end of an execution's process"),
    "attune_worker_queue_wait_seconds": ("histogram", "from the arrival of a dispatch to the begin of its execution"),
    "attune_worker_environment_builds_total": ("counter", "environments that were built (outcome)"),
    "attune_worker_reconnects_total": ("counter", "connections that came back (connection)"),
    "attune_worker_transport_bytes_total": ("counter", "bytes that went over HTTP instead of a shared volume (kind)"),
    "attune_worker_transport_resumed_total": ("counter", "transfers that went on where they had broken off (kind)"),
    "attune_worker_transport_failures_total": ("counter", "transfers that were given up (kind)"),
    "attune_worker_zombies_total": ("counter", "processes of others that were collected"),
    "attune_worker_slots": ("gauge", "executions that may run at the same time"),
    "attune_worker_executions_running": ("gauge", "executions in hand"),
    "attune_worker_spooled_reports": ("gauge", "ends of executions that wait on disk for the database"),
    "attune_worker_transport_waiting_bytes": ("gauge", "bytes of logs that the server does not have yet"),
    "attune_worker_ready": ("gauge", "1 when the worker is ready, else 0"),
}

Gauges = Mapping[str, Callable[[], int]]


def exposition(counters: Counters, gauges: Gauges) -> str:
    """Return all metrics; ``gauges`` are asked now and must not wait for anything."""
    return "".join(f"{line}\n" for line in _lines(counters, gauges))


def _lines(counters: Counters, gauges: Gauges) -> Iterator[str]:
    counts = counters.counts()
    for name, (kind, meaning) in METRICS.items():
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} {kind}"
        if kind == "gauge":
            yield f"{name} {gauges[name]()}"
        elif kind == "histogram":
            yield from _histogram(name, *counters.histogram(name))
        else:
            found = {labels: count for (counted, labels), count in counts.items() if counted == name}
            for labels, count in sorted(found.items()):
                yield f"{name}{_braces(labels)} {count}"


def _histogram(name: str, counts: list[int], total: float) -> Iterator[str]:
    below = 0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
        below += count
        yield f'{name}_bucket{{le="{bound}"}} {below}'
    yield f"{name}_sum {total:.6f}"
    yield f"{name}_count {below}"


def _braces(labels: Labels) -> str:
    pairs = (f'{name}="{value}"' for name, value in labels)
    return f"{{{','.join(pairs)}}}" if labels else ""
