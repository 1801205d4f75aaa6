"""What sensors write: their log files, which lie where artifacts do; only the end of one is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from agent.control.artifact_files import open_below
from agent.errors import NotFound
from agent.server.call import Answer, Call, one, rows
from agent.server.problems import Problem
from agent.server.resources.artifact_rows import may
from agent.server.resources.sensors import sensor_of
from agent.server.route import Route

_PACKAGE = "agent.server"
_STREAMS = ("stdout", "stderr")
_MOST_BYTES = 1 << 20


class TailQuery(Struct, kw_only=True):
    """How many of the last lines; of very long ones, as many as a megabyte holds."""

    tail: Annotated[int, Meta(ge=1, le=100_000)] = 1000


def list_logs(call: Call) -> Answer:
    """List a sensor's logs; ``artifact_id`` is null for one that it has not written to, or that one may not read."""
    with call.connection() as connection:
        ref = sensor_of(call, connection)["ref"]
        found = {row["ref"]: row for row in rows(connection, _PACKAGE, "sensor_logs", _refs(ref))}
    logs = []
    for stream in _STREAMS:
        name = f"sensor.{ref}.{stream}"
        row = found.get(name)
        seen = row is not None and may(call, row, "read")
        logs.append({"stream": stream, "artifact_ref": name, "artifact_id": row["id"] if row and seen else None})
    return Answer({"sensor_ref": ref, "logs": logs})


def tail(call: Call) -> Answer:
    """Send the last lines of one of a sensor's logs as text."""
    stream = call.path["stream"]
    if stream not in _STREAMS:
        raise Problem.invalid(f"a sensor has the logs {' and '.join(_STREAMS)}")
    with call.connection() as connection:
        ref = sensor_of(call, connection)["ref"]
        missing = f"the sensor {ref} has written nothing to {stream}"
        row = one(connection, _PACKAGE, "sensor_logs", {"refs": [f"sensor.{ref}.{stream}"]}, missing=missing)
        if not may(call, row, "read"):
            raise Problem.not_found(missing)
        versions = rows(connection, _PACKAGE, "latest_files", {"artifact": row["id"], "most": 10})
    return Answer(_last_lines(call, versions, call.query.tail), media_type="text/plain; charset=utf-8")


def _last_lines(call: Call, versions: Sequence[Mapping[str, Any]], lines: int) -> bytes:
    """Read backwards, the newest file first, until there are enough lines or bytes."""
    found = b""
    for version in versions:
        found = _end_of_file(call, version["file_path"], _MOST_BYTES - len(found)) + found
        if found.count(b"\n") > lines or len(found) >= _MOST_BYTES:
            break
    return b"".join(found.splitlines(keepends=True)[-lines:])


def _end_of_file(call: Call, path: str, most: int) -> bytes:
    try:
        descriptor = open_below(call.settings.artifacts_dir, path)
    except NotFound:  # it was rotated away, or lies where this server can't see it
        return b""
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, most, max(0, size - most))
    finally:
        os.close(descriptor)


def _refs(ref: str) -> dict[str, list[str]]:
    return {"refs": [f"sensor.{ref}.{stream}" for stream in _STREAMS]}


_ONE = "/api/v1/sensors/{ref}/logs"
_NEEDS = ("artifacts", "read")
ROUTES = (
    Route("GET", _ONE, list_logs, "List a sensor's logs", needs=_NEEDS, answer=dict, bare=True, errors=(404,),
          tag="sensors"),
    Route("GET", f"{_ONE}/{{stream}}", tail, "The last lines of a sensor's log", needs=_NEEDS, query=TailQuery,
          bare=True, errors=(404, 422, 503), tag="sensors"),
)  # fmt: skip
