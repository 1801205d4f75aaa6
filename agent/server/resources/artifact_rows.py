"""An artifact's row as the API shows it, who may see it, and the bytes of a version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agent.control.artifact_files import file_name, open_version
from agent.control.stored_artifacts import StoredArtifacts
from agent.db.pool import Connection
from agent.server.call import Answer, Call
from agent.server.opened_file import opened
from agent.server.problems import Problem

PACKAGE = "agent.server"
_ACTION_LOG = re.compile(r"(.+)\.(?:stdout|stderr)\.log", re.DOTALL)
_SENSOR_LOG = re.compile(r"sensor\.(.+)\.(?:stdout|stderr)", re.DOTALL)
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}(; ?charset=[\w-]{1,40})?", re.ASCII)
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


def log_owner(ref: str) -> tuple[str, str] | None:
    """Return scope and owner of the artifact that workers write a log to under this ref; None where they write none.

    They take the artifact that there is: whoever else had made it would read what he may not.
    """
    action = _ACTION_LOG.fullmatch(ref)
    sensor = _SENSOR_LOG.fullmatch(ref)
    return ("action", action[1]) if action else ("sensor", sensor[1]) if sensor else None


def found(call: Call, connection: Connection, action: str = "read") -> dict[str, Any]:
    """Return the artifact that the path names. Raises Problem: one that can't be read is not there."""
    number, named = call.path.get("id"), call.path.get("ref")
    row = StoredArtifacts(connection).find(number=number, ref=named)
    if row is None or not may(call, row, "read"):
        raise Problem.not_found(f"there is no artifact {named or number}"[:200])
    if action != "read" and not may(call, row, action):
        call.caller.denied.append(f"artifacts:{action}")
        raise Problem(403, "FORBIDDEN", f"this needs the permission artifacts:{action} on this artifact")
    return row


def version_of(call: Call, connection: Connection, artifact: int, number: int | None) -> dict[str, Any]:
    """Return a version with its content, the latest for None. Raises Problem."""
    found = StoredArtifacts(connection).version(artifact, number)
    if found is None:
        raise Problem.not_found("it has no version" if number is None else f"it has no version {number}")
    return found


def sent(call: Call, artifact: Mapping[str, Any], version: Mapping[str, Any]) -> Answer:
    """Send the bytes of a version: whole or in parts, never a file that is not whole. Raises Problem, AgentError."""
    file = opened(open_version(call.settings.artifacts_dir, version))
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
    name = file_name(artifact["ref"], version["version"], version["file_path"])
    return Answer(file, headers=headers, media_type=media_type, file_name=name)
