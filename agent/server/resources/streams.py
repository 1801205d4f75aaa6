"""Live views of executions: how they stand, and what they write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

from agent.reading.beneath import is_inside
from agent.server.call import Answer, Call, one
from agent.server.problems import Problem
from agent.server.resources.artifact_rows import found, version_of
from agent.server.resources.execution_rows import absent, facts_of
from agent.server.route import Route
from agent.server.shapes import LARGEST_ID, Id
from agent.server.streams.execution_changes import ChangesSource, Feed
from agent.server.streams.log_places import STREAMS, LogFile
from agent.server.streams.log_source import Encoding, LogSource
from agent.server.streams.sse import EventStream, Source

_PACKAGE = "agent.server"
_NO_EXECUTION = 0
"""Has ended: what somebody uploaded doesn't grow."""


class ChangesQuery(Struct, kw_only=True):
    """Whose changes; ``last_event_id`` is for clients that can't send the header ``Last-Event-ID``."""

    execution_id: Id | None = None
    last_event_id: Annotated[str, Meta(max_length=40)] | None = None


class LogQuery(Struct, kw_only=True):
    """From which byte on; ``encoding`` is that of the data: text, a JSON string, or base64 of the very bytes."""

    offset: Annotated[int, Meta(ge=0, le=LARGEST_ID)] = 0
    follow: bool = True
    encoding: Encoding = "text"
    last_event_id: Annotated[str, Meta(max_length=40)] | None = None


def changes(call: Call) -> Answer:
    """Follow the status of all executions, or of one."""
    wanted: int | None = call.query.execution_id
    with call.connection() as connection:
        if call.caller.kind == "execution" and wanted is None:
            call.caller.require("executions", "read", {})
        if wanted is not None:
            missing = f"there is no execution {wanted}"
            row = one(connection, _PACKAGE, "execution", {"id": wanted}, missing=missing)
            call.caller.require("executions", "read", facts_of(call, connection, row))
    everything = call.caller.may("executions", "read", {}) or wanted is not None
    since = _last(call)
    hub = call.services.streams
    wants = _all if everything else _wanted(call)

    def opened(wake: Callable[[], None]) -> Source:
        feed = Feed(wants, wanted, wake, needs_owner=not everything)
        return ChangesSource(hub.changes, feed, None if since is None else since / 1_000_000)

    return _stream(call, opened)


def follow_log(call: Call) -> Answer:
    """Follow what an execution writes, from a byte on to its end."""
    stream, query = call.path["stream"], call.query
    if stream not in STREAMS:
        raise Problem.bad(f"there is no stream {stream[:40]}; there are {', '.join(STREAMS)}")
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=absent(call))
        call.caller.require("executions", "read", facts_of(call, connection, row))
    last = _last(call)
    hub, execution_id = call.services.streams, call.path["id"]

    def opened(wake: Callable[[], None]) -> Source:
        return LogSource(
            hub.tails,
            hub.readings,
            wake,
            execution_id=execution_id,
            stream=stream,
            offset=query.offset if last is None else last,
            follow=query.follow,
            encoding=query.encoding,
        )

    return _stream(call, opened)


def follow_artifact(call: Call) -> Answer:
    """Follow the file of an artifact's latest version while its execution writes it."""
    query = call.query
    with call.connection() as connection:
        artifact = found(call, connection)
        if not artifact["type"].startswith("file_"):
            raise Problem.bad(f"an artifact of type {artifact['type']} is no file that grows")
        version = version_of(call, connection, artifact["id"], None)
    if version["content"] is None and not is_inside(version["file_path"] or ""):
        raise Problem.not_found("this version has no file")
    content = None if version["content"] is None else bytes(version["content"])
    file = LogFile(call.settings.artifacts_dir, version["file_path"] or "", content, version["size_bytes"])
    last = _last(call)
    hub = call.services.streams

    def opened(wake: Callable[[], None]) -> Source:
        return LogSource(
            hub.tails,
            hub.readings,
            wake,
            execution_id=version["execution"] or _NO_EXECUTION,
            stream=f"version {version['id']}",
            offset=query.offset if last is None else last,
            follow=query.follow,
            encoding=query.encoding,
            file=file,
        )

    return _stream(call, opened)


def _stream(call: Call, opened: Callable[[Callable[[], None]], Source]) -> Answer:
    assert call.caller.claims is not None  # the route lets nobody in without
    call.services.streams.open.admit(call.caller.claims)
    return Answer(EventStream(call.caller.claims, opened, call.caller.grants))


def _last(call: Call) -> int | None:
    """Read where a client left off; what is no id of ours is as none."""
    text = call.headers.get("last-event-id") or call.query.last_event_id or ""
    return min(int(text), LARGEST_ID) if text.isascii() and text.isdigit() and len(text) <= 19 else None


def _all(document: dict[str, Any]) -> bool:
    return True


def _wanted(call: Call) -> Callable[[dict[str, Any]], bool]:
    """Ask the caller's grants about each execution; they are those of the moment at which the stream began."""
    caller = call.caller
    grants_may = caller.may
    own = caller.identity_id if caller.kind == "access" else None

    def wants(document: dict[str, Any]) -> bool:
        ref, executor = str(document.get("action_ref")), document.get("executor")
        mine = executor is not None and executor == own
        facts = {
            "id": document["id"],
            "ref": ref,
            "pack_ref": ref.partition(".")[0],
            "owner": "self" if mine else "none" if executor is None else "any",
            "execution_scope": "self" if mine else "any",
        }
        return grants_may("executions", "read", facts)

    return wants


_READ = ("executions", "read")
ROUTES = (
    Route(
        "GET",
        "/api/v1/executions/stream",
        changes,
        "Follow the status of all executions, or of one (server-sent events)",
        needs=_READ,
        query=ChangesQuery,
        streamed=True,
        errors=(404, 429),
        tag="streams",
    ),
    Route(
        "GET",
        "/api/v1/executions/{id}/logs/{stream}/stream",
        follow_log,
        "Follow what an execution writes (server-sent events)",
        needs=_READ,
        query=LogQuery,
        streamed=True,
        errors=(404, 429),
        tag="streams",
    ),
    Route(
        "GET",
        "/api/v1/artifacts/{id}/stream",
        follow_artifact,
        "Follow the file of an artifact's latest version (server-sent events)",
        needs=("artifacts", "read"),
        query=LogQuery,
        streamed=True,
        errors=(404, 429),
        tag="streams",
    ),
)
