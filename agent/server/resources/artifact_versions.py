"""New versions of artifacts: a file that is uploaded, a document, or a place where an action will write.

A file is on the disk, whole, before there is a row that names it; it gets its name in the transaction that makes the
row. A server that dies in between leaves a file that no row names, which clean-up finds.
"""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Annotated, Any

import msgspec
from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.control.stored_artifacts import StoredArtifacts
from agent.db.pool import Connection
from agent.server.call import Answer, Call, data, one, rows
from agent.server.file_problems import tried
from agent.server.problems import Problem
from agent.server.resources.artifact_rows import PACKAGE, found
from agent.server.resources.artifacts import NewArtifact, Policy, Scope, Type, Visibility, made
from agent.server.route import OWNING, Route
from agent.server.shapes import Limit, Text
from agent.server.stored_files import StoredFiles, refused_path
from agent.server.strict_json import BadJson, read_json

_ENDING = re.compile(r"\.[A-Za-z0-9]{1,10}")
ContentType = Annotated[str, Meta(max_length=200)]


class NewDocument(Struct, kw_only=True):
    """A version whose content is JSON."""

    content: Any
    content_type: ContentType | None = None
    meta: dict[str, Any] | None = None


class NewPlace(Struct, kw_only=True):
    """A version whose file is written later, below ``ATTUNE_ARTIFACTS_DIR`` of the action that asked for it."""

    content_type: ContentType | None = None
    meta: dict[str, Any] | None = None


class NewPlaceByRef(NewPlace, kw_only=True):
    """The same for an artifact that is made where there is none with this ref."""

    type: Type = "file_binary"
    scope: Scope | None = None
    owner: Annotated[str, Meta(max_length=255)] | None = None
    visibility: Visibility | None = None
    name: Text | None = None
    description: Text | None = None
    retention_policy: Policy | None = None
    retention_limit: Limit | None = None


@dataclass(frozen=True)
class _Version:
    """What is known of a version before it has a number."""

    content_type: str | None
    meta: Mapping[str, Any] | None
    size: int | None = None
    content: Any = None
    ending: str | None = None
    """That of its file's name; None where it has no file."""


def add_document(call: Call) -> Answer:
    """Add a version whose content is JSON."""
    body: NewDocument = call.body
    size = len(json.dumps(body.content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    version = _Version(body.content_type or "application/json", body.meta, size, body.content)
    with call.connection() as connection:
        return _answer(_added(call, connection, found(call, connection, "update"), version))


def allocate(call: Call) -> Answer:
    """Add a version without content, and say where its file belongs."""
    version = _Version(call.body.content_type, call.body.meta, ending=_ending("", call.body.content_type))
    with call.connection() as connection:
        artifact = _by_ref(call, connection, call.body) if "ref" in call.path else found(call, connection, "update")
        return _answer(_added(call, connection, artifact, version))


def upload(call: Call) -> Answer:
    """Add a version with the file of a form."""
    fields = call.upload.fields
    kind = fields.get("content_type") or mimetypes.guess_type(call.upload.file_name)[0]
    size = call.upload.file.seek(0, os.SEEK_END)
    version = _Version(kind, _meta(fields), size, ending=_ending(call.upload.file_name, kind))
    with call.connection() as connection:  # who may not do it does not fill the disk
        artifact = _target(call, connection)
        call.path = {"id": artifact["id"]}
    with _staged(call, artifact["ref"], call.upload.file) as staged, call.connection() as connection:
        return _answer(_added(call, connection, found(call, connection, "update"), version, staged))


def _target(call: Call, connection: Connection) -> dict[str, Any]:
    if "ref" not in call.path:
        return found(call, connection, "update")
    known = {name: value for name, value in call.upload.fields.items() if name in _FORM and value != ""}
    try:
        return _by_ref(call, connection, msgspec.convert(known, NewPlaceByRef, strict=False))
    except msgspec.ValidationError as error:
        raise Problem.invalid(f"form: {error}") from None


def _by_ref(call: Call, connection: Connection, body: NewPlaceByRef) -> dict[str, Any]:
    """Return the artifact with the ref of the path, made where it is missing: once, whoever else makes it."""
    ref = call.path["ref"]
    rows(connection, PACKAGE, "lock_artifact_ref", {"ref": ref})
    if StoredArtifacts(connection).find(ref=ref) is not None:
        return found(call, connection, "update")
    scope, owner = body.scope, body.owner
    claims = call.caller.claims
    if scope is None and claims is not None and call.caller.kind == "execution":
        scope, owner = "action", str(claims.metadata.get("action_ref", ""))
    elif scope is None and claims is not None and call.caller.kind == "sensor":
        scope, owner = "sensor", claims.login
    values = {name: getattr(body, name) for name in ("type", "visibility", "name", "description", "content_type")}
    kept = {"retention_policy": body.retention_policy, "retention_limit": body.retention_limit}
    whole = {"ref": ref, **values, **kept, "scope": scope or "system", "owner": owner or ""}
    try:
        wanted = msgspec.convert(whole, NewArtifact)
    except msgspec.ValidationError as error:
        raise Problem.invalid(f"{error}") from None
    return made(call, connection, wanted)


def _added(
    call: Call, connection: Connection, artifact: Mapping[str, Any], version: _Version, staged: str | None = None
) -> dict[str, Any]:
    """Write the row with the next number; give the file that is staged its name."""
    rows(connection, PACKAGE, "lock_artifact_versions", {"id": artifact["id"]})
    number = one(connection, PACKAGE, "next_artifact_version", {"id": artifact["id"]})["number"]
    path = None if version.ending is None else _path(connection, artifact, number, version.ending)
    claims = call.caller.claims
    values = {
        "artifact": artifact["id"],
        "version": number,
        "execution": call.caller.execution_id,
        "content_type": version.content_type,
        "size_bytes": version.size,
        "content_json": Jsonb(version.content) if version.ending is None else None,
        "file_path": path,
        "meta": None if version.meta is None else Jsonb(dict(version.meta)),
        "created_by": claims.login[:255] if claims is not None else None,
    }
    row = one(connection, PACKAGE, "insert_artifact_version", values)
    if path is not None:
        files = _files(call)
        tried(lambda: files.make_parent(path) if staged is None else files.rename(staged, path), path)
    return row


@contextlib.contextmanager
def _staged(call: Call, ref: str, content: IO[bytes]) -> Iterator[str]:
    """Lend the path of a file with this content, in the folder where it will get its name."""
    path = f"{_folder(ref)}/.{uuid.uuid4().hex}.new"
    tried(lambda: _files(call).put(path, content, None), path)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):  # it has another name now, or nobody wants it
            _files(call).delete(path)


def _path(connection: Connection, artifact: Mapping[str, Any], number: int, ending: str) -> str:
    """Return where a version's file lies; refs that differ in dots, or not at all, must not share a file."""
    folder = _folder(artifact["ref"])
    paths = [f"{folder}/v{number}{ending}", f"{folder}/{artifact['id']}/v{number}{ending}"]
    if folder.replace("/", ".") != artifact["ref"]:
        del paths[0]  # it is that of another ref, for which a worker may write a log there
    for path in paths:
        if not rows(connection, PACKAGE, "version_with_file", {"file_path": path}):
            return path
    raise Problem(409, "CONFLICT", f"another version has the file {path}")


def _folder(ref: str) -> str:
    folder = "/".join(part for part in ref.split(".") if part)
    why = refused_path(f"{folder}/v2147483647.abcdefghij")
    if not folder or why is not None:
        raise Problem.invalid(f"a file of an artifact with this ref can't be stored: {why or 'it has no name'}")
    return folder


def _ending(file_name: str, content_type: str | None) -> str:
    ending = os.path.splitext(file_name)[1] or mimetypes.guess_extension(content_type or "") or ""
    return ending if _ENDING.fullmatch(ending) else ""


def _meta(fields: Mapping[str, str]) -> dict[str, Any] | None:
    if not fields.get("meta"):
        return None
    try:
        found = read_json(fields["meta"].encode())
    except BadJson as error:
        raise Problem.invalid(f"meta: {error}") from None
    if not isinstance(found, dict):
        raise Problem.invalid("meta: it must be an object")
    return found


def _files(call: Call) -> StoredFiles:
    return StoredFiles(call.settings.artifacts_dir, call.settings.artifacts.max_upload_size)


def _answer(row: dict[str, Any]) -> Answer:
    location = f"/api/v1/artifacts/{row['artifact']}/versions/{row['version']}"
    return data(row, status=201, Location=location)


_FORM = tuple(NewPlaceByRef.__struct_fields__)
_AT = {
    "one": "/api/v1/artifacts/{id}/versions",
    "ref": "/api/v1/artifacts/ref/{ref}/versions",
}
_FILE: dict[str, Any] = {"upload": "file", "errors": (404, 409, 413, 415, 422, 507)}
_COMMON: dict[str, Any] = {
    "who": OWNING,
    "needs": ("artifacts", "update"),
    "answer": dict,
    "status": 201,
    "tag": "artifacts",
}
ROUTES = (
    Route("POST", _AT["one"], add_document, "Add a version that is a document", body=NewDocument,
          errors=(404, 409), **_COMMON),
    Route("POST", f"{_AT['one']}/upload", upload, "Add a version with the file of a form",
          form=("content_type", "meta"), **_FILE, **_COMMON),
    Route("POST", f"{_AT['one']}/file", allocate, "Add a version whose file an action writes", body=NewPlace,
          errors=(404, 409), **_COMMON),
    Route("POST", f"{_AT['ref']}/upload", upload, "Add a version with the file of a form; make the artifact if needed",
          form=_FORM, **_FILE, **_COMMON),
    Route("POST", f"{_AT['ref']}/file", allocate,
          "Add a version whose file an action writes; make the artifact if needed", body=NewPlaceByRef,
          errors=(404, 409), **_COMMON),
)  # fmt: skip
