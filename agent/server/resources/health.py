"""Whether this process lives and can work, and its figures for Prometheus."""

from __future__ import annotations

from agent import __version__
from agent.errors import DatabaseError
from agent.server.call import Answer, Call, rows
from agent.server.route import PUBLIC, Route


def health(call: Call) -> Answer:
    """Answer as long as the process does."""
    return Answer({"status": "ok"})


def detailed(call: Call) -> Answer:
    """Say whether the database answers, too."""
    error = _trouble(call)
    if error is None:
        return Answer({"status": "ok", "version": __version__, "database": "connected"})
    return Answer({"status": "error", "database": "disconnected", "error": error}, 503)


def ready(call: Call) -> Answer:
    """Whether to send requests here: not while draining, not without a database."""
    return Answer(None, 503 if call.services.draining or _trouble(call) else 200, media_type="text/plain")


def live(call: Call) -> Answer:
    """Whether the process is worth keeping."""
    return Answer(None, media_type="text/plain")


def metrics(call: Call) -> Answer:
    """Give figures: requests of this process, and what waits in the whole deployment."""
    lines = ["# TYPE attune_http_requests_total counter"]
    for (method, path, status), count in sorted(call.services.counters.items()):
        lines.append(f'attune_http_requests_total{{method="{method}",path="{path}",status="{status}"}} {count}')
    dispatcher = call.services.dispatcher
    if dispatcher is not None:
        totals = dispatcher.totals
        for name, value in (("placed", totals.placed), ("recalled", totals.recalled), ("failed", totals.failed)):
            lines += [f"# TYPE attune_executions_{name}_total counter", f"attune_executions_{name}_total {value}"]
        lines += ["# TYPE attune_dispatcher_leads gauge", f"attune_dispatcher_leads {int(dispatcher.leads)}"]
    if call.services.retention is not None:
        leads = int(call.services.retention.leads)
        lines += ["# TYPE attune_retention_leads gauge", f"attune_retention_leads {leads}"]
        lines.append("# TYPE attune_pruned_total counter")
        pruned = call.services.retention.totals
        lines += [f'attune_pruned_total{{kind="{kind}"}} {number}' for kind, number in sorted(pruned.items())]
    with call.connection() as connection:
        lines.append("# TYPE attune_executions gauge")
        for row in rows(connection, "agent.server", "live_counts"):
            lines.append(f'attune_executions{{status="{row["status"]}"}} {row["number"]}')
        # Where something runs and nothing waits, zero is told: an autoscaler takes what is missing for a failure.
        by_runtime = rows(connection, "agent.server", "unfinished_by_runtime")
        for name in ("waiting", "unfinished"):
            lines.append(f"# TYPE attune_{name}_executions gauge")
            lines += [
                f'attune_{name}_executions{{runtime="{_label(row["runtime"])}"}} {row[name]}' for row in by_runtime
            ]
        lines.append("# TYPE attune_workers gauge")
        for row in rows(connection, "agent.server", "workers_by_status"):
            lines.append(f'attune_workers{{status="{row["status"]}"}} {row["number"]}')
    return Answer("\n".join(lines).encode() + b"\n", media_type="text/plain; version=0.0.4")


def _label(value: str) -> str:
    """Write a label's value as the exposition format wants it: a runtime may be called anything."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _trouble(call: Call) -> str | None:
    try:
        with call.connection() as connection:
            connection.execute("SELECT 1")
    except DatabaseError:
        return "the database does not answer"
    return None


ROUTES = (
    Route("GET", "/health", health, "The process answers", PUBLIC, answer=dict, bare=True, tag="health"),
    Route(
        "GET",
        "/health/detailed",
        detailed,
        "The database answers",
        PUBLIC,
        answer=dict,
        bare=True,
        errors=(503,),
        tag="health",
    ),
    Route("GET", "/health/ready", ready, "Send requests here", PUBLIC, errors=(503,), tag="health"),
    Route("GET", "/health/live", live, "Keep this process", PUBLIC, tag="health"),
    Route("GET", "/metrics", metrics, "Figures for Prometheus", PUBLIC, errors=(503,), tag="health"),
)
