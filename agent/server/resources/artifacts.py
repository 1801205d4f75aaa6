"""Artifacts: what executions leave behind, their versions, their bytes."""

from __future__ import annotations

import contextlib
import os
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.control.stored_artifacts import StoredArtifacts
from agent.db.pool import Connection
from agent.reading.beneath import Directory
from agent.server.call import Answer, Call, data, deleted, one, page, rows
from agent.server.problems import Problem
from agent.server.resources.artifact_rows import PACKAGE, found, log_owner, may, sent, version_of
from agent.server.resources.changes import Change, changed
from agent.server.resources.execution_rows import absent, facts_of
from agent.server.route import ACTING, OWNING, Route
from agent.server.shapes import Id, Limit, PerPage, Ref, Text

Scope = Literal["system", "identity", "pack", "action", "sensor"]
Type = Literal["file_binary", "file_datatable", "file_image", "file_text", "other", "progress", "url"]
Visibility = Literal["public", "private"]
Policy = Literal["versions", "days", "hours", "minutes"]
_BATCH, _MOST = 500, 20_000
_MOST_ENTRIES = 1000
_PLAIN = ("scope", "owner", "type", "visibility", "retention_policy", "retention_limit")
_NULLABLE = ("name", "description", "content_type", "data")


class ArtifactsQuery(PerPage, kw_only=True):
    """Which artifacts, newest first."""

    per_page: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    scope: Scope | None = None
    owner: Text | None = None
    type: Type | None = None
    visibility: Visibility | None = None
    execution: Id | None = None
    name: Text | None = None


class NewArtifact(Struct, kw_only=True):
    """An artifact without a version yet."""

    ref: Ref
    type: Type
    scope: Scope = "system"
    owner: Annotated[str, Meta(max_length=255)] = ""
    visibility: Visibility | None = None
    name: Text | None = None
    description: Text | None = None
    content_type: Annotated[str, Meta(max_length=200)] | None = None
    data: Any = None
    retention_policy: Policy | None = None
    retention_limit: Limit | None = None


class ArtifactChange(Struct, kw_only=True):
    """What is to be another; what may be null is set or cleared."""

    scope: Scope | None = None
    owner: Annotated[str, Meta(max_length=255)] | None = None
    type: Type | None = None
    visibility: Visibility | None = None
    retention_policy: Policy | None = None
    retention_limit: Limit | None = None
    name: Change | None = None
    description: Change | None = None
    content_type: Change | None = None
    data: Change | None = None


class Progress(Struct, kw_only=True):
    """One entry of a progress artifact."""

    percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    message: Text | None = None
    iteration: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    details: Any = None


class ArtifactData(Struct, kw_only=True):
    """The data of an artifact."""

    data: Any


def list_all(call: Call) -> Answer:
    """List those that the caller may read: what he may not is taken out before pages are cut."""
    query: ArtifactsQuery = call.query
    wanted, skipped, place, seen = query.size + 1, query.window()["offset"], None, 0
    kept: list[dict[str, Any]] = []
    values = {name: getattr(query, name) for name in ("scope", "owner", "type", "visibility", "execution", "name")}
    with call.connection() as connection:
        while len(kept) < wanted and seen < _MOST:
            batch = StoredArtifacts(connection).newest(limit=_BATCH, below=place, **values)
            for row in batch:
                if may(call, row, "read"):
                    if skipped:
                        skipped -= 1
                    elif len(kept) < wanted:
                        kept.append(row)
            if len(batch) < _BATCH:
                break
            seen, place = seen + len(batch), batch[-1]["id"]
    return page(kept[: query.size], number=query.page, size=query.per_page, more=len(kept) > query.size)


def create(call: Call) -> Answer:
    """Make one; its versions are uploaded after."""
    with call.connection() as connection:
        return data(made(call, connection, call.body), status=201)


def made(call: Call, connection: Connection, body: NewArtifact) -> dict[str, Any]:
    """Write the row of a new artifact; what it doesn't say about retention, the execution does that makes it.

    Raises Problem.
    """
    visibility = body.visibility or ("public" if body.type == "progress" else "private")
    owner = body.owner
    if body.scope == "identity" and not owner and call.caller.kind == "access":
        owner = str(call.caller.identity_id)
    values = {name: getattr(body, name) for name in NewArtifact.__struct_fields__}
    values |= {"visibility": visibility, "owner": owner, "data": None if body.data is None else Jsonb(body.data)}
    _require_owner(call, {**values, "id": 0})
    rows(connection, PACKAGE, "lock_artifact_ref", {"ref": body.ref})
    if StoredArtifacts(connection).find(ref=body.ref) is not None:
        raise Problem(409, "CONFLICT", f"there is an artifact {body.ref}")
    known = rows(connection, PACKAGE, "retention_of_execution", {"id": call.caller.execution_id})
    policy, amount = (known[0]["policy"], known[0]["amount"]) if known else (None, None)
    values["retention_policy"] = body.retention_policy or policy or "versions"
    values["retention_limit"] = body.retention_limit or (amount if not body.retention_policy else None) or 5
    return one(connection, PACKAGE, "insert_artifact", values)


def update(call: Call) -> Answer:
    """Change what is said of it; its versions stay. Who gives it to another owner must be allowed to make it there."""
    body: ArtifactChange = call.body
    values: dict[str, Any] = {name: getattr(body, name) for name in _PLAIN}
    for name in _NULLABLE:
        change = getattr(body, name)
        value = changed(change)
        if value is not None and name != "data" and not (isinstance(value, str) and len(value) <= 10_000):
            raise Problem.invalid(f"{name} must be a text of at most 10000 characters")
        values |= {name: Jsonb(value) if name == "data" and value is not None else value}
        values[f"set_{name}"] = change is not None
    with call.connection() as connection:
        row = found(call, connection, "update")
        moved = {name: value for name in ("scope", "owner") if (value := getattr(body, name)) is not None}
        if moved:
            _require_owner(call, row | moved)
        return data(one(connection, PACKAGE, "change_artifact", values | {"id": row["id"]}))


def _require_owner(call: Call, row: dict[str, Any]) -> None:
    """Go on only if the caller may make an artifact of this owner, and an owner can be called so. Raises Problem."""
    scope, owner = row["scope"], row["owner"]
    if not may(call, row, "create"):
        call.caller.denied.append("artifacts:create")
        raise Problem(403, "FORBIDDEN", f"this needs the permission artifacts:create for {scope} {owner}".strip())
    if scope == "identity" and not (owner.isascii() and owner.isdigit() and len(owner) < 19):
        raise Problem.invalid("owner: of scope identity it is the id of an identity")
    keeper = log_owner(row["ref"])
    if keeper is not None and keeper != (scope, owner):
        raise Problem.invalid(f"ref: an artifact of this name holds the log of the {keeper[0]} {keeper[1]}, its owner")
    if scope in ("pack", "action", "sensor") and not owner:
        raise Problem.invalid(f"owner: of scope {scope} it is the ref of a {scope}")


def show(call: Call) -> Answer:
    """Show one."""
    with call.connection() as connection:
        return data(found(call, connection))


def remove(call: Call) -> Answer:
    """Delete one with its versions; its files go when that is committed."""
    with call.connection() as connection:
        row = found(call, connection, "delete")
        files = rows(connection, PACKAGE, "delete_artifact", {"id": row["id"]})
    _unlink(call, files)
    return deleted(f"artifact {row['ref']} was deleted")


def remove_version(call: Call) -> Answer:
    """Delete one version."""
    with call.connection() as connection:
        row = found(call, connection, "delete")
        version_of(call, connection, row["id"], call.path["version"])
        values = {"artifact": row["id"], "version": call.path["version"]}
        files = rows(connection, PACKAGE, "delete_artifact_version", values)
    _unlink(call, files)
    return deleted(f"version {call.path['version']} of artifact {row['ref']} was deleted")


def _unlink(call: Call, files: list[dict[str, Any]]) -> None:
    """Remove files that no row names any more; what can't be removed is an orphan, which clean-up finds."""
    for file in files:
        with contextlib.suppress(OSError), Directory(call.settings.artifacts_dir) as root:
            parent, _, name = file["file_path"].rpartition("/")
            with root.folder(parent or ".") as folder:
                os.unlink(name, dir_fd=folder)


def add_progress(call: Call) -> Answer:
    """Append an entry; the oldest go beyond a thousand."""
    with call.connection() as connection:
        row = found(call, connection, "update")
        if row["type"] != "progress":
            raise Problem.bad("only artifacts of type progress have entries")
        body: Progress = call.body
        entry = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not None}
        values = {"id": row["id"], "entry": Jsonb(entry), "most": _MOST_ENTRIES}
        made = one(connection, PACKAGE, "add_progress", values)
    return data(made)


def set_data(call: Call) -> Answer:
    """Replace its data."""
    with call.connection() as connection:
        row = found(call, connection, "update")
        made = one(connection, PACKAGE, "set_artifact_data", {"id": row["id"], "data": Jsonb(call.body.data)})
    return data(made)


def versions(call: Call) -> Answer:
    """List its versions, newest first, without content."""
    with call.connection() as connection:
        row = found(call, connection)
        return data(StoredArtifacts(connection).versions(row["id"]))


def version(call: Call) -> Answer:
    """Show one version, the latest where none is named."""
    with call.connection() as connection:
        row = found(call, connection)
        known = version_of(call, connection, row["id"], call.path.get("version"))
    return data({name: value for name, value in known.items() if name not in ("content", "content_json")})


def download(call: Call) -> Answer:
    """Send a version's bytes, those of the latest where none is named."""
    with call.connection() as connection:
        row = found(call, connection)
        known = version_of(call, connection, row["id"], call.path.get("version"))
    return sent(call, row, known)


def of_execution(call: Call) -> Answer:
    """List what an execution left, its logs included."""
    with call.connection() as connection:
        row = one(connection, PACKAGE, "execution", {"id": call.path["id"]}, missing=absent(call))
        call.caller.require("executions", "read", facts_of(call, connection, row))
        return data([one for one in StoredArtifacts(connection).left_by(row["id"]) if may(call, one, "read")])


def _route(method: str, path: str, handler: Any, summary: str, action: str, **more: Any) -> Route:
    more["errors"] = (404, *more.get("errors", ()))
    if "{version}" in path:
        more["parameters"] = {"version": int}
    who = ACTING if action == "delete" else OWNING
    return Route(method, path, handler, summary, who, needs=("artifacts", action), tag="artifacts", **more)


_ONE = "/api/v1/artifacts/{id}"
_BYTES: dict[str, Any] = {"bare": True, "errors": (206, 304, 409, 416)}
ROUTES = (
    _route(
        "GET", "/api/v1/artifacts", list_all, "List artifacts", "read", query=ArtifactsQuery, listed=True, answer=dict
    ),
    _route(
        "POST",
        "/api/v1/artifacts",
        create,
        "Make an artifact",
        "create",
        body=NewArtifact,
        status=201,
        answer=dict,
        errors=(409,),
    ),
    _route("GET", _ONE, show, "Show an artifact", "read", answer=dict),
    _route("PUT", _ONE, update, "Change an artifact", "update", body=ArtifactChange, answer=dict),
    _route("DELETE", _ONE, remove, "Delete an artifact with its files", "delete", bare=True, answer=dict),
    _route("GET", "/api/v1/artifacts/ref/{ref}", show, "Show an artifact by its ref", "read", answer=dict),
    _route("GET", f"{_ONE}/download", download, "The bytes of its latest version", "read", **_BYTES),
    _route("POST", f"{_ONE}/progress", add_progress, "Tell progress", "update", body=Progress, answer=dict),
    _route("PUT", f"{_ONE}/data", set_data, "Replace its data", "update", body=ArtifactData, answer=dict),
    _route("GET", f"{_ONE}/versions", versions, "Its versions", "read", answer=list),
    _route("GET", f"{_ONE}/versions/latest", version, "Its latest version", "read", answer=dict),
    _route("GET", f"{_ONE}/versions/{{version}}", version, "One version", "read", answer=dict),
    _route(
        "DELETE", f"{_ONE}/versions/{{version}}", remove_version, "Delete a version", "delete", bare=True, answer=dict
    ),
    _route("GET", f"{_ONE}/versions/{{version}}/download", download, "The bytes of a version", "read", **_BYTES),
    Route(
        "GET",
        "/api/v1/executions/{id}/artifacts",
        of_execution,
        "What an execution left",
        needs=("executions", "read"),
        answer=list,
        errors=(404,),
        tag="artifacts",
    ),
)
