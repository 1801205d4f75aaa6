"""The isolated environments of a pack: what workers recorded of them, and building them anew."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agent.mq.outgoing_messages import environment_rebuild_requested
from agent.server.call import Answer, Call, data, rows
from agent.server.resources.packs import facts_of, visible_pack
from agent.server.route import ACCESS, Route

_PACKAGE = "agent.server"


def list_all(call: Call) -> Answer:
    """List the environments of a pack, with size and last use where a worker has told them."""
    with call.connection() as connection:
        pack = visible_pack(call, connection)
        found = rows(connection, _PACKAGE, "environments_of_pack", {"pack": pack["id"]})
    return data([_shown(row) for row in found])


def rebuild(call: Call) -> Answer:
    """Ask all workers to build the environments of a pack anew; what runs finishes on what it began with."""
    now = datetime.now(UTC)
    with call.connection() as connection:
        pack = visible_pack(call, connection)
        call.caller.require("packs", "install", facts_of(call, pack))
        asked = rows(connection, _PACKAGE, "version_checks")
        call.services.outbox.add(connection, [environment_rebuild_requested(pack["id"], pack["ref"], at=now)])
    names = [row["name"] for row in asked if row["ours"]]
    deaf = [row["name"] for row in asked if not row["ours"]]
    note = f"; {', '.join(deaf)} can't be asked" if deaf else ""
    return data(
        {"pack_ref": pack["ref"], "asked": names, "not_asked": deaf}, message=f"workers are asked{note}", status=202
    )


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    known = row["metadata"] if isinstance(row["metadata"], dict) else {}
    size, took = known.get("bytes"), known.get("seconds")
    uses = [at for at in (row["installed_at"], _moment(known.get("last_used"))) if at is not None]
    return {
        **{name: value for name, value in row.items() if name != "metadata"},
        "bytes": size if type(size) is int and size > 0 else None,
        "seconds": took if type(took) in (int, float) else None,
        "last_used": max(uses, default=None),
    }


def _moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


_READ = "/api/v1/packs/{ref}/environments"
ROUTES = (
    Route("GET", _READ, list_all, "List the environments of a pack", answer=dict, errors=(404,), tag="packs"),
    Route(
        "POST",
        f"{_READ}/rebuild",
        rebuild,
        "Ask all workers to build the environments of a pack anew",
        ACCESS,
        ("packs", "install"),
        answer=dict,
        status=202,
        errors=(404,),
        tag="packs",
    ),
)
