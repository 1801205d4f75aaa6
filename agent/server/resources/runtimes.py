"""Runtimes and their versions: list, change, verify now, switch off and on, choose the default."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from psycopg.types.json import Jsonb

from agent.mq.outgoing_messages import runtime_verify_requested
from agent.runtimes.names import normalize_runtime_name
from agent.server.call import Answer, Call, counted_page, data, deleted, one, rows
from agent.server.problems import Problem
from agent.server.resources.changes import Change, changed
from agent.server.route import Route
from agent.server.shapes import Label, Paging, Ref, Text

_PACKAGE = "agent.server"


class NewRuntime(Struct):
    """A runtime."""

    ref: Ref
    name: Label
    pack_ref: Ref | None = None
    description: Text | None = None
    aliases: list[Label] = []
    distributions: dict[str, Any] = {}
    installation: dict[str, Any] | None = None
    execution_config: dict[str, Any] = {}


class RuntimeChange(Struct):
    """What is to be different."""

    name: Label | None = None
    description: Change | None = None
    distributions: dict[str, Any] | None = None
    installation: Change | None = None
    execution_config: dict[str, Any] | None = None


class VersionChange(Struct):
    """Off or on for all machines, and whether it is the default."""

    available: bool | UnsetType = UNSET
    is_default: bool | UnsetType = UNSET


class VerifyBody(Struct):
    """Only one version, where it is given."""

    version: Annotated[str, Meta(max_length=100)] | None = None


def list_all(call: Call) -> Answer:
    """List runtimes by ref."""
    pack_ref = call.path.get("pack_ref")
    values = {"pack_ref": pack_ref} | call.query.window()
    with call.connection() as connection:
        if pack_ref is not None:
            one(connection, _PACKAGE, "pack", {"ref": pack_ref}, missing=f"there is no pack {pack_ref}")
        found = rows(connection, _PACKAGE, "list_runtimes", values)
        total = one(connection, _PACKAGE, "count_runtimes", values)["total"]
    return counted_page(call, found, total)


def show(call: Call) -> Answer:
    """Show a runtime."""
    with call.connection() as connection:
        return data(_runtime(call, connection))


def create(call: Call) -> Answer:
    """Make a runtime."""
    body: NewRuntime = call.body
    with call.connection() as connection:
        if body.pack_ref is not None:
            one(connection, _PACKAGE, "pack", {"ref": body.pack_ref}, missing=f"there is no pack {body.pack_ref}")
        values = {
            "ref": body.ref,
            "pack_ref": body.pack_ref,
            "description": body.description,
            "name": body.name,
            "aliases": [alias.lower() for alias in body.aliases],
            "distributions": Jsonb(body.distributions),
            "installation": None if body.installation is None else Jsonb(body.installation),
            "execution_config": Jsonb(body.execution_config),
        }
        rows(connection, _PACKAGE, "create_runtime", values)
        found = one(connection, _PACKAGE, "runtime", {"ref": body.ref})
    return data(found, message="Runtime created successfully", status=201, Location=f"/api/v1/runtimes/{body.ref}")


def update(call: Call) -> Answer:
    """Change a runtime."""
    body: RuntimeChange = call.body
    installation = changed(body.installation)
    values = {
        "ref": call.path["ref"],
        "name": body.name,
        "set_description": body.description is not None,
        "description": _text(changed(body.description)),
        "distributions": None if body.distributions is None else Jsonb(body.distributions),
        "set_installation": body.installation is not None,
        "installation": None if installation is None else Jsonb(installation),
        "execution_config": None if body.execution_config is None else Jsonb(body.execution_config),
    }
    with call.connection() as connection:
        one(connection, _PACKAGE, "update_runtime", values, missing=_absent(call))
        return data(_runtime(call, connection), message="Runtime updated successfully")


def delete(call: Call) -> Answer:
    """Delete a runtime; one that an action uses stays."""
    with call.connection() as connection:
        one(connection, _PACKAGE, "delete_runtime", {"ref": call.path["ref"]}, missing=_absent(call))
    return deleted(f"Runtime '{call.path['ref']}' deleted successfully")


def versions(call: Call) -> Answer:
    """List the versions of a runtime with what each live worker says about them."""
    with call.connection() as connection:
        runtime = _runtime(call, connection)
        return data(_versions(connection, runtime))


def show_version(call: Call) -> Answer:
    """Show one version."""
    with call.connection() as connection:
        return data(_version(call, connection))


def change_version(call: Call) -> Answer:
    """Switch a version off or on for all machines, or make it the default; no verification resets that."""
    body: VersionChange = call.body
    values = {"ref": call.path["ref"], "version": call.path["version"]}
    with call.connection() as connection:
        _version(call, connection)
        if body.available is not UNSET:
            rows(connection, _PACKAGE, "switch_version", values | {"disabled": not body.available})
        if body.is_default is not UNSET:
            rows(connection, _PACKAGE, "default_version", values | {"on": body.is_default})
        return data(_version(call, connection))


def verify(call: Call) -> Answer:
    """Ask all workers to look again which versions they have; the answer names those that can be asked."""
    with call.connection() as connection:
        runtime = _runtime(call, connection)
        workers = rows(connection, _PACKAGE, "version_checks")
        version = call.body.version if call.body else None
        message = runtime_verify_requested(runtime["id"], runtime["ref"], version, at=datetime.now(UTC))
        call.services.outbox.add(connection, [message])
    asked = [row["name"] for row in workers if row["ours"]]
    deaf = [row["name"] for row in workers if not row["ours"]]
    note = f"; {', '.join(deaf)} can't be asked: they verify only when they start" if deaf else ""
    return data(
        {"runtime_ref": runtime["ref"], "asked": asked, "not_asked": deaf},
        message=f"workers are asked{note}",
        status=202,
    )


def _runtime(call: Call, connection: Any) -> dict[str, Any]:
    return one(connection, _PACKAGE, "runtime", {"ref": call.path["ref"]}, missing=_absent(call))


def _version(call: Call, connection: Any) -> dict[str, Any]:
    runtime = _runtime(call, connection)
    found = [one for one in _versions(connection, runtime) if one["version"] == call.path["version"]]
    if not found:
        raise Problem.not_found(f"runtime {runtime['ref']} has no version {call.path['version'][:100]}")
    return found[0]


def _versions(connection: Any, runtime: dict[str, Any]) -> list[dict[str, Any]]:
    found = rows(connection, _PACKAGE, "runtime_versions", {"ref": runtime["ref"], "version": None})
    workers = rows(connection, _PACKAGE, "version_checks")
    name = normalize_runtime_name(runtime["name"])
    for version in found:
        version["workers"] = [
            check for worker in workers if (check := _check_of(worker, runtime["ref"], name, version["version"]))
        ]
    return found


def _check_of(worker: dict[str, Any], ref: str, name: str, version: str) -> dict[str, Any] | None:
    """Say what a worker knows of a version: that it checked it, that it advertises it, or nothing."""
    for entry in worker["checks"] if isinstance(worker["checks"], list) else ():
        if isinstance(entry, dict) and entry.get("ref") == ref and entry.get("version") == version:
            return {"worker": worker["name"], **{key: entry.get(key) for key in ("ok", "reason", "at")}}
    table = worker["versions"]
    for runtime, advertised in table.items() if isinstance(table, dict) else ():
        texts = advertised if normalize_runtime_name(runtime) == name and isinstance(advertised, list) else ()
        if any(text == version or str(text).startswith(version + ".") for text in texts):
            return {"worker": worker["name"], "ok": True, "reason": "advertised, not checked", "at": None}
    return None


def _absent(call: Call) -> str:
    return f"there is no runtime {call.path['ref']}"


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Problem.invalid("description must be a string")
    return value


_READ, _UPDATE = ("runtimes", "read"), ("runtimes", "update")
_ONE = "/api/v1/runtimes/{ref}"
ROUTES = (
    Route(
        "GET",
        "/api/v1/runtimes",
        list_all,
        "List runtimes",
        needs=_READ,
        query=Paging,
        listed=True,
        answer=dict,
        tag="runtimes",
    ),
    Route(
        "POST",
        "/api/v1/runtimes",
        create,
        "Make a runtime",
        needs=("runtimes", "create"),
        body=NewRuntime,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="runtimes",
    ),
    Route("GET", _ONE, show, "Show a runtime", needs=_READ, answer=dict, errors=(404,), tag="runtimes"),
    Route(
        "PUT",
        _ONE,
        update,
        "Change a runtime",
        needs=_UPDATE,
        body=RuntimeChange,
        answer=dict,
        errors=(404,),
        tag="runtimes",
    ),
    Route(
        "DELETE",
        _ONE,
        delete,
        "Delete a runtime",
        needs=("runtimes", "delete"),
        answer=dict,
        bare=True,
        errors=(404,),
        tag="runtimes",
    ),
    Route(
        "GET",
        "/api/v1/packs/{pack_ref}/runtimes",
        list_all,
        "List a pack's runtimes",
        needs=_READ,
        query=Paging,
        listed=True,
        answer=dict,
        errors=(404,),
        tag="runtimes",
    ),
    Route(
        "GET",
        f"{_ONE}/versions",
        versions,
        "List versions with the workers' verification results",
        needs=_READ,
        answer=dict,
        errors=(404,),
        tag="runtimes",
    ),
    Route(
        "GET",
        f"{_ONE}/versions/{{version}}",
        show_version,
        "Show a version",
        needs=_READ,
        answer=dict,
        errors=(404,),
        tag="runtimes",
    ),
    Route(
        "PATCH",
        f"{_ONE}/versions/{{version}}",
        change_version,
        "Switch a version off or on",
        needs=_UPDATE,
        body=VersionChange,
        answer=dict,
        errors=(404,),
        tag="runtimes",
    ),
    Route(
        "POST",
        f"{_ONE}/verify",
        verify,
        "Verify versions now",
        needs=_UPDATE,
        body=VerifyBody,
        body_optional=True,
        answer=dict,
        status=202,
        errors=(404,),
        tag="runtimes",
    ),
)
