"""One execution: how it went, what went in and what came out, and what can be done about it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from agent.control.cancelling import ENDED
from agent.control.execution_output import LogReader
from agent.control.parameter_values import ParameterSchema
from agent.errors import AgentError
from agent.server.call import rows
from agent.server.page.ansi import Piece, Terminal
from agent.server.page.endpoints import PageRoute
from agent.server.page.view import View
from agent.server.problems import Problem

STREAMS = ("stdout", "stderr")
_TAIL_BYTES, _TAIL_LINES = 128 * 1024, 300
_EMPTY: dict[str, Any] = {"lines": [], "first": 1, "bytes": 0}
_ONE = "/api/v1/executions/{id}"
_HIDDEN = "[redacted]"
_RESULT_FIELDS = ("stdout", "stderr")


def number(view: View) -> int:
    """Return the id in the path. Raises Problem."""
    text = str(view.path["id"])
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem.not_found("there is no execution of this name: an id is a whole number")
    return int(text)


def show(view: View) -> Response:
    """Show one execution."""
    execution_id = number(view)
    row = view.ask("GET", _ONE, at={"id": execution_id})["data"]
    changes = view.ask("GET", _ONE + "/history", at={"id": execution_id}, query={"page_size": 100})["items"]
    waits = row["status"] in ("requested", "scheduling", "scheduled")
    why = view.ask("GET", _ONE + "/explain", at={"id": execution_id})["data"] if waits else None
    ended = row["status"] in ENDED
    worker, environment = _place(view, row)
    action = _action(view, row["action_ref"])
    secrets = ParameterSchema.of(action.get("param_schema") if action else None).secrets
    result = row["result"] if isinstance(row["result"], dict) else {}
    again = "x-live" in view.request.headers  # the script has the output already
    return view.show(
        "execution.html",
        section="executions",
        row=row,
        worker=worker,
        steps=_steps(row, changes, worker, environment),
        why=why,
        ended=ended,
        error=result.get("error") or result.get("message") if row["status"] != "completed" else None,
        cause=result.get("cause"),
        seconds=_seconds(row, result),
        parameters=masked(row["config"], secrets),
        result={name: value for name, value in result.items() if name not in _RESULT_FIELDS} or None,
        logs={name: _EMPTY if again else _tail(view, execution_id, name, ended=ended) for name in STREAMS},
        may_cancel=not ended and view.may("executions", "cancel"),
        may_retry=ended and action is not None and view.may("actions", "execute"),
        command=f"attune execution show {execution_id}",
    )


def cancel(view: View) -> Response:
    """Ask for its end."""
    execution_id = number(view)
    view.ask("POST", _ONE + "/cancel", at={"id": execution_id})
    return view.go(f"/executions/{execution_id}")


def retry(view: View) -> Response:
    """Run it again; show the new one."""
    made = view.ask("POST", _ONE + "/retry", at={"id": number(view)})["data"]
    return view.go(f"/executions/{made['id']}")


def raw(view: View) -> Response:
    """Send what a stream has so far, as it is."""
    execution_id, stream = number(view), view.path["stream"]
    if stream not in STREAMS:
        raise Problem.not_found("an execution has the streams stdout and stderr")
    row = view.ask("GET", _ONE, at={"id": execution_id})["data"]
    chunks = _read(view, execution_id, stream, ended=row["status"] in ENDED)
    way = "attachment" if "download" in view.query else "inline"
    headers = {"Content-Disposition": f'{way}; filename="execution-{execution_id}-{stream}.log"'}
    return StreamingResponse(chunks, headers=headers, media_type="text/plain; charset=utf-8")


def masked(config: Any, secrets: frozenset[str]) -> Any:
    """Return parameters without the values of secret ones."""
    if not isinstance(config, dict):
        return config
    return {
        name: _HIDDEN if name in secrets or (isinstance(value, dict) and value.get("$attune_secret") is True) else value
        for name, value in config.items()
    }


def command_lines(ref: str, parameters: dict[str, Any], secrets: frozenset[str], url: str) -> tuple[str, str]:
    """Return the call of the command and that of curl, with a variable in the place of each secret."""
    # A name of a parameter may be anything: only what a variable can be called stands outside of quotes.
    variables = {name: _variable(name) for name in secrets}
    words = ["attune", "run", shlex.quote(ref)]
    for name, value in parameters.items():
        if name in secrets:
            words += ["-p", shlex.quote(f"{name}=") + f'"${{{variables[name]}}}"']
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            words += ["-p", shlex.quote(f"{name}={text}")]
    shown = {name: f"<{variables[name]}>" if name in secrets else value for name, value in parameters.items()}
    body = json.dumps({"action_ref": ref, "parameters": shown}, ensure_ascii=False)
    curl = (
        f'curl -X POST {shlex.quote(url + "/api/v1/executions")} \\\n  -H "Authorization: Bearer $ATTUNE_TOKEN" '
        f"-H 'Content-Type: application/json' \\\n  -d {shlex.quote(body)}"
    )
    return " ".join(words), curl


def _variable(name: str) -> str:
    found = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in name).upper()
    return f"_{found}" if not found or found[0].isdigit() else found


def reader(view: View, execution_id: int, stream: str) -> LogReader:
    """Return a reader of one stream."""
    return LogReader(view.services.database, view.services.settings.artifacts_dir, execution_id, stream)


def _read(view: View, execution_id: int, stream: str, *, ended: bool) -> Iterator[bytes]:
    found = reader(view, execution_id, stream)
    return found.read_rest() if ended else found.read_live()


def _tail(view: View, execution_id: int, stream: str, *, ended: bool) -> dict[str, Any]:
    """The end of a stream for whoever has no script; with one, all of it comes by the stream."""
    end, size, before = b"", 0, 0
    for chunk in _read(view, execution_id, stream, ended=ended):
        size += len(chunk)
        end += chunk
        if len(end) > 2 * _TAIL_BYTES:
            before += end.count(b"\n", 0, len(end) - _TAIL_BYTES)
            end = end[-_TAIL_BYTES:]
    lines: list[list[Piece]] = Terminal().lines(end.decode(errors="replace"), last=True)
    first = before + max(0, len(lines) - _TAIL_LINES) + 1
    return {"lines": lines[-_TAIL_LINES:], "first": first, "bytes": size}


def _steps(
    row: dict[str, Any], changes: list[dict[str, Any]], worker: str | None, environment: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """What became of it, in order, with what passed since it was asked for; what is still ahead has no time."""
    found = [{"name": "requested", "at": row["created"]}]
    names = {"scheduled": "placed", "running": "claimed, running", "canceling": "cancel asked for"}
    for change in reversed(changes):
        status = change["new_values"].get("status") if isinstance(change["new_values"], dict) else None
        if status and status not in ("requested", "scheduling") and change["operation"].upper() != "INSERT":
            note = f"on {worker}" if status == "scheduled" and worker else ""
            found.append({"name": names.get(status, status), "at": change["time"], "note": note})
    if environment is not None:
        _add_environment(found, environment)
    for step in found:
        at = step["at"]
        step["after"] = max(0.0, (at - row["created"]).total_seconds()) if step is not found[0] and at else None
    if row["status"] not in ENDED:
        known = {step["name"] for step in found} | ({"claimed, running"} if environment else set())
        found += [{"name": name, "at": None} for name in ("placed", "claimed, running", "ended") if name not in known]
    return found


def _add_environment(steps: list[dict[str, Any]], environment: dict[str, Any]) -> None:
    """Put the environment between the claim and the run."""
    at = next((number for number, step in enumerate(steps) if step["name"] == "claimed, running"), None)
    if at is None:
        return
    steps[at]["name"] = "claimed"
    if environment["status"] == "installing":
        steps.insert(at + 1, {"name": "environment is being built", "at": None})
        steps.insert(at + 2, {"name": "running", "at": None})
    else:
        steps.insert(at + 1, {"name": "environment built, running", "at": environment["installed_at"]})


def _seconds(row: dict[str, Any], result: dict[str, Any]) -> float | None:
    length = result.get("duration_ms")
    if isinstance(length, int | float):
        return length / 1000
    started = row.get("started_at")
    return (row["updated"] - started).total_seconds() if started and row["status"] in ENDED else None


def _action(view: View, ref: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = view.ask("GET", "/api/v1/actions/{ref}", at={"ref": ref})["data"]
        return found
    except (Problem, AgentError):
        return None


def _place(view: View, row: dict[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """Return the name of its worker, and the environment that was built for it there."""
    worker = row["worker"]
    if worker is None:
        return None, None
    with view.services.database.connection() as connection:
        found = rows(connection, "agent.server.page", "worker_name", {"id": worker})
        built = rows(connection, "agent.server.page", "environment_built_for", {"id": row["id"]})
    return str(found[0]["name"]) if found else f"#{worker}", built[0] if built else None


ROUTES = (
    PageRoute("GET", "/executions/{id}", show),
    PageRoute("POST", "/executions/{id}/cancel", cancel),
    PageRoute("POST", "/executions/{id}/retry", retry),
    PageRoute("GET", "/executions/{id}/{stream}.log", raw),
)
