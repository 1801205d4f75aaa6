"""An artifact's row as the API shows it, who may see it, and the bytes of a version."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.db.pool import Connection
from agent.reading.beneath import Directory
from agent.reading.regular_files import open_regular
from agent.server.call import Answer, Call, one
from agent.server.opened_file import OpenedFile, open_file, opened
from agent.server.problems import Problem

PACKAGE = "agent.server"
Opened = TypeVar("Opened")
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}(; ?charset=[\w-]{1,40})?", re.ASCII)
_NAME = re.compile(r"[^\w.-]+")
_PACK_SCOPES = ("pack", "action", "sensor")
_PACK_ACTIONS = {"read": "read", "create": "configure", "update": "configure", "delete": "configure"}


def may(call: Call, row: Mapping[str, Any], action: str) -> bool:
    """Whether the caller may do ``action`` with an artifact.

    A public one can be read with any grant, but by no sensor: its token is for what is its own. Else it must be one's
    own, or of a pack that one may read (to change it: configure), or a grant must name it by a constraint.
    """
    caller, scope, owner = call.caller, row["scope"], row["owner"]
    if not caller.may("artifacts", action):
        return False
    if action == "read" and row["visibility"] == "public" and caller.kind != "sensor":
        return True
    if scope == "identity":
        if caller.kind == "access" and owner == str(caller.identity_id):
            return True
    elif scope in _PACK_SCOPES and caller.kind == "access":
        pack = owner.partition(".")[0]
        if caller.may("packs", _PACK_ACTIONS[action], {"ref": pack, "pack_ref": pack}):
            return True
    pack = owner.partition(".")[0] if scope in _PACK_SCOPES else None
    facts = {"id": row["id"], "ref": row["ref"], "owner_type": scope, "owner_ref": owner, "pack_ref": pack}
    return caller.may("artifacts", action, facts | {"visibility": row["visibility"]}, narrowly=True)


def found(call: Call, connection: Connection, action: str = "read") -> dict[str, Any]:
    """Return the artifact that the path names. Raises Problem: one that can't be read is not there."""
    named = call.path.get("ref")
    values = {"id": call.path.get("id"), "ref": named}
    missing = f"there is no artifact {named or call.path.get('id')}"
    row = one(connection, PACKAGE, "artifact", values, missing=missing[:200])
    if not may(call, row, "read"):
        raise Problem.not_found(missing[:200])
    if action != "read" and not may(call, row, action):
        call.caller.denied.append(f"artifacts:{action}")
        raise Problem(403, "FORBIDDEN", f"this needs the permission artifacts:{action} on this artifact")
    return row


def version_of(call: Call, connection: Connection, artifact: int, number: int | None) -> dict[str, Any]:
    """Return a version with its content, the latest for None. Raises Problem."""
    missing = "it has no version" if number is None else f"it has no version {number}"
    values = {"artifact": artifact, "version": number}
    return one(connection, PACKAGE, "artifact_version", values, missing=missing)


def sent(call: Call, artifact: Mapping[str, Any], version: Mapping[str, Any]) -> Answer:
    """Send the bytes of a version: whole or in parts, never a file that is not whole. Raises Problem."""
    file = _opened(call, version)
    size = version["size_bytes"]
    if version["file_path"] and size is not None and file.found.st_size < size:
        file.close()
        raise Problem(409, "CONFLICT", f"its file has {file.found.st_size} of {size} bytes: it is not whole")
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if file.is_named_by(call.headers.get("if-none-match", "")):
        file.close()
        return Answer(None, 304, {"ETag": file.etag, **headers})
    media_type = version["content_type"] or artifact["content_type"] or ""
    if not _MEDIA_TYPE.fullmatch(media_type):
        media_type = "application/octet-stream"
    return Answer(file, headers=headers, media_type=media_type, file_name=_file_name(artifact, version))


def _file_name(artifact: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    ending = os.path.splitext(version["file_path"] or "")[1][:20]
    return _NAME.sub("_", f"{artifact['ref'][:150]}.v{version['version']}{ending}")


def _opened(call: Call, version: Mapping[str, Any]) -> OpenedFile:
    if version["file_path"]:
        return open_artifact(call.settings.artifacts_dir, version["file_path"])
    if version["content"] is not None:
        return _in_memory(bytes(version["content"]))
    if version["content_json"] is not None:
        return _in_memory(msgspec.json.encode(version["content_json"]))
    raise Problem.not_found("this version has no content")


def open_artifact(directory: Path, file_path: str) -> OpenedFile:
    """Open the file of a version below the artifacts, following no link, with its digest. Raises Problem."""
    return _readable(lambda: opened(_open_regular(directory, file_path)))


def open_artifact_file(directory: Path, file_path: str) -> int:
    """Open it without reading it all: return its descriptor, which the caller closes. Raises Problem."""
    return _readable(lambda: _open_regular(directory, file_path))


def _open_regular(directory: Path, file_path: str) -> int:
    with Directory(directory) as root:
        probe = root.open(file_path, os.O_PATH)
    try:
        return open_regular(Path(f"/proc/self/fd/{probe}"))
    finally:
        os.close(probe)


def _readable(open_it: Callable[[], Opened]) -> Opened:
    try:
        return open_it()
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.EIO, errno.ESTALE):
            raise Problem(503, "SERVICE_UNAVAILABLE", "its file can't be read now") from None
        raise Problem.not_found("its file is not on this server") from None


def _in_memory(content: bytes) -> OpenedFile:
    descriptor = os.memfd_create("artifact")
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        made = open_file(Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)
    return made
