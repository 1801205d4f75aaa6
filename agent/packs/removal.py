"""Removes what a pack's files no longer hold, unless somebody still needs it: then it is kept and reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.packs.model import Pack

FOREIGN = "the pack was installed by other means"


@dataclass(frozen=True)
class Vanished:
    """Something that the files no longer hold: removed, or kept for ``reason``."""

    kind: str
    ref: str
    reason: str | None = None


def remove_vanished(connection: Connection, pack: Pack, pack_id: int, *, ours: bool) -> tuple[Vanished, ...]:
    """Remove actions, sensors, triggers and runtimes of the pack that are not in its files.

    Never touched: what was made without a file (ad hoc), workflows, ``auto.*`` runtimes. Kept with a reason: an action
    that a rule runs, that owns secrets or that has an execution under way; a sensor that owns secrets; a trigger that
    a rule listens to; a permission set that somebody has; a runtime that an action or a sensor of any pack uses. Of a
    pack that another program installed (``ours`` is false) everything is kept: this directory may not be all of it.

    Promise: what others made stays.
    """
    vanished: list[Vanished] = []
    for kind, refs in (
        ("action", [*(action.ref for action in pack.actions), *pack.unread]),
        ("sensor", [sensor.ref for sensor in pack.sensors]),
        ("trigger", [trigger.ref for trigger in pack.triggers]),
        ("permission_set", [found.ref for found in pack.permission_sets]),
        ("runtime", [runtime.ref for runtime in pack.runtimes]),
    ):
        vanished += _remove(connection, kind, pack_id, refs, ours=ours)
    return tuple(vanished)


def _remove(connection: Connection, kind: str, pack_id: int, refs: Sequence[str], *, ours: bool) -> list[Vanished]:
    queries = load_queries("agent.packs")
    if kind == "permission_set" and connection.execute(queries["has_permission_sets"]).fetchone() != (True,):
        return []
    rows = connection.execute(queries[f"vanished_{kind}s"], {"pack": pack_id, "refs": list(refs)}).fetchall()
    vanished = []
    for row_id, ref, needed in rows:
        reason = needed or (None if ours else FOREIGN)
        if reason is None:
            connection.execute(queries[f"delete_{kind}"], {"id": row_id})
        vanished.append(Vanished(kind, ref, reason))
    return vanished
