"""Packs: list, show, make, upload, register from below the directory of packs, delete. None of a pack is run here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.control.catalog import remove_pack_files, remove_pack_rows
from agent.db.pool import Connection
from agent.execution.secrets.redaction import redact_result
from agent.mq.outgoing_messages import pack_deleted, pack_registered
from agent.packs.archive import Limits, unpacked
from agent.packs.install import install
from agent.packs.model import Pack
from agent.rules.pack_rules import parse_for_registration
from agent.server.call import Answer, Call, data, deleted, one, page, rows
from agent.server.delegation import pass_on_pack
from agent.server.problems import Problem
from agent.server.resources.changes import Change, changed
from agent.server.route import ACCESS, Route
from agent.server.shapes import Label, Paging, Ref, Text

_PACKAGE = "agent.server"
Version = Annotated[str, Meta(min_length=1, max_length=50)]


class NewPack(Struct):
    """A pack without files."""

    ref: Ref
    label: Label
    version: Version = "1.0.0"
    description: Text | None = None
    conf_schema: dict[str, Any] = {}
    config: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    tags: list[Label] = []


class PackChange(Struct):
    """What is to be different."""

    label: Label | None = None
    version: Version | None = None
    description: Change | None = None
    config: dict[str, Any] | None = None
    tags: list[Label] | None = None


class RegisterBody(Struct):
    """A directory below the directory of packs."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    skip_tests: bool = False
    force: bool = False


def list_all(call: Call) -> Answer:
    """List the packs that the caller may see."""
    with call.connection() as connection:
        found = [row for row in rows(connection, _PACKAGE, "list_packs") if visible(call, row)]
    query: Paging = call.query
    window = query.window()
    items = found[window["offset"] : window["offset"] + query.size]
    return page([_shown(row) for row in items], number=query.page, size=query.page_size, total=len(found))


def show(call: Call) -> Answer:
    """Show a pack."""
    with call.connection() as connection:
        row = visible_pack(call, connection)
    # Whoever may not set its configuration sees none of the secrets in it.
    if not call.caller.may("packs", "configure", facts_of(call, row)):
        row["config"], _ = redact_result(row["config"], row["conf_schema"])
    return data(_shown(row))


def create(call: Call) -> Answer:
    """Make a pack without files, for actions that no file describes."""
    body: NewPack = call.body
    call.caller.require("packs", "create", {"ref": body.ref, "pack_ref": body.ref, "owner": "self"})
    values = {
        "ref": body.ref,
        "label": body.label,
        "version": body.version,
        "description": body.description,
        "conf_schema": Jsonb(body.conf_schema),
        "config": Jsonb(body.config),
        "meta": Jsonb(body.meta),
        "tags": body.tags,
        "installed_by": call.caller.identity_id,
    }
    with call.connection() as connection:
        rows(connection, _PACKAGE, "create_pack", values)
        found = one(connection, _PACKAGE, "pack", {"ref": body.ref})
    return data(_shown(found), message="Pack created successfully", status=201, Location=f"/api/v1/packs/{body.ref}")


def update(call: Call) -> Answer:
    """Change a pack's row."""
    body: PackChange = call.body
    description = changed(body.description)
    if description is not None and not isinstance(description, str):
        raise Problem.invalid("description must be a string")
    with call.connection() as connection:
        before = visible_pack(call, connection)
        call.caller.require("packs", "configure", facts_of(call, before))
        values = {
            "ref": before["ref"],
            "label": body.label,
            "version": body.version,
            "set_description": body.description is not None,
            "description": description,
            "config": None if body.config is None else Jsonb(body.config),
            "tags": body.tags,
        }
        rows(connection, _PACKAGE, "update_pack", values)
        return data(_shown(visible_pack(call, connection)), message="Pack updated successfully")


def delete(call: Call) -> Answer:
    """Delete a pack: its rows, its files, and tell workers."""
    with call.connection() as connection:
        before = visible_pack(call, connection)
        call.caller.require("packs", "delete", facts_of(call, before))
        pack_id = remove_pack_rows(connection, before["ref"])
        call.services.outbox.add(connection, [pack_deleted(pack_id, before["ref"], at=datetime.now(UTC))])
    remove_pack_files(call.settings.packs_base_dir.resolve(), before["ref"])
    return deleted(f"Pack '{before['ref']}' deleted successfully")


def upload(call: Call) -> Answer:
    """Install a pack from an archive; the one that is there survives everything that goes wrong."""
    limits = call.settings.pack_upload
    allowed = Limits(limits.max_extracted_size_bytes, limits.max_file_count, limits.max_per_entry_size_bytes)
    with unpacked(call.upload.file, allowed) as directory:
        found = _install(call, directory, force=call.upload.flag("force"))
    return data(
        {"pack": found, "test_result": None, "tests_skipped": True},
        message="Pack uploaded; the server runs no tests of packs",
        status=201,
    )


def register(call: Call) -> Answer:
    """Register a pack that lies below the directory of packs."""
    base = call.settings.packs_base_dir.resolve()
    directory = Path(os.path.normpath(base / call.body.path))
    try:
        inside = directory.resolve().is_relative_to(base) and directory.resolve() != base
        has_manifest = inside and (directory / "pack.yaml").is_file()
    except (OSError, ValueError, RuntimeError):  # too long a name, a loop of links
        inside = has_manifest = False
    if not inside:
        raise Problem.bad(f"{call.body.path[:200]} is not below the directory of packs")
    if not has_manifest:
        raise Problem.bad(f"{call.body.path[:200]} has no pack.yaml")
    found = _install(call, directory.resolve(), force=call.body.force)
    return data(found, message="Pack registered successfully", status=201)


def _install(call: Call, directory: Path, *, force: bool) -> dict[str, Any]:
    database = call.services.database
    parsed = parse_for_registration(directory, database)
    if parsed.pack is None:
        raise Problem(
            400, "BAD_REQUEST", "the pack has problems", details=[str(problem) for problem in parsed.problems][:50]
        )
    ref = parsed.pack.ref
    with call.connection() as connection:
        before = rows(connection, _PACKAGE, "pack", {"ref": ref})
    if before and not force:
        raise Problem(409, "CONFLICT", f"pack {ref} exists already", hint="send force to replace it")
    with call.connection() as connection:
        may_install(call, connection, parsed.pack)
    done = install(database, parsed.pack, call.settings.packs_base_dir).registration
    message = pack_registered(done.pack_id, done.ref, done.version, done.runtime_names, at=datetime.now(UTC))
    with call.connection() as connection:
        rows(connection, _PACKAGE, "set_installer", {"identity": call.caller.identity_id, "ref": ref})
        call.services.outbox.add(connection, [message])
        return _shown(one(connection, _PACKAGE, "pack", {"ref": ref}))


def may_install(call: Call, connection: Connection, pack: Pack) -> None:
    """Let the caller install a pack, over the one that is there, if any. Raises Problem (403)."""
    facts = {"ref": pack.ref, "pack_ref": pack.ref, "owner": "self"}
    for before in rows(connection, _PACKAGE, "pack", {"ref": pack.ref}):
        facts = facts_of(call, before)
    call.caller.require("packs", "install", facts)
    pass_on_pack(call, connection, pack)


def visible_pack(call: Call, connection: Any) -> dict[str, Any]:
    """Return the row of the pack in the path. Raises Problem (404), also where the caller may not see it."""
    row = one(connection, _PACKAGE, "pack", {"ref": call.path["ref"]}, missing=_absent(call))
    if not visible(call, row):
        raise Problem.not_found(_absent(call))
    return row


def visible(call: Call, row: Mapping[str, Any]) -> bool:
    """Say whether the caller may see it: standard packs are everybody's, somebody else's need a grant."""
    if row["is_standard"]:
        return True
    foreign = row["installed_by"] is not None and facts_of(call, row)["owner"] != "self"
    return call.caller.may("packs", "read", facts_of(call, row), narrowly=foreign) or call.caller.may(
        "packs", "delete", facts_of(call, row)
    )


def facts_of(call: Call, row: Mapping[str, Any]) -> dict[str, Any]:
    """What constraints may ask about a pack."""
    mine = call.caller.kind == "access" and row["installed_by"] == call.caller.identity_id
    owner = "self" if mine else "none" if row["installed_by"] is None else "any"
    return {"id": row["id"], "ref": row["ref"], "pack_ref": row["ref"], "owner": owner}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "installed_by"}


def _absent(call: Call) -> str:
    return f"there is no pack {call.path['ref']}"


_READ, _INSTALL = ("packs", "read"), ("packs", "install")
_ALL, _ONE = "/api/v1/packs", "/api/v1/packs/{ref}"
ROUTES = (
    Route("GET", _ALL, list_all, "List packs", query=Paging, listed=True, answer=dict, tag="packs"),
    Route(
        "POST",
        _ALL,
        create,
        "Make a pack without files",
        ACCESS,
        ("packs", "create"),
        body=NewPack,
        answer=dict,
        status=201,
        errors=(409,),
        tag="packs",
    ),
    Route(
        "POST",
        f"{_ALL}/upload",
        upload,
        "Install a pack from an archive",
        ACCESS,
        _INSTALL,
        upload="pack",
        form=("force", "skip_tests"),
        answer=dict,
        status=201,
        errors=(409, 413, 415),
        tag="packs",
    ),
    Route(
        "POST",
        f"{_ALL}/register",
        register,
        "Register a pack below the directory of packs",
        ACCESS,
        _INSTALL,
        body=RegisterBody,
        answer=dict,
        status=201,
        errors=(409,),
        tag="packs",
    ),
    Route("GET", _ONE, show, "Show a pack", answer=dict, errors=(404,), tag="packs"),
    Route(
        "PUT",
        _ONE,
        update,
        "Change a pack",
        ACCESS,
        ("packs", "configure"),
        body=PackChange,
        answer=dict,
        errors=(404,),
        tag="packs",
    ),
    Route(
        "DELETE",
        _ONE,
        delete,
        "Delete a pack",
        ACCESS,
        ("packs", "delete"),
        answer=dict,
        bare=True,
        errors=(404, 409),
        tag="packs",
    ),
)
