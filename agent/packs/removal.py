"""Removes what a pack's files no longer hold, unless somebody still needs it: then it is kept and reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.packs.model import Pack

FOREIGN = "the pack was installed by other means"


@dataclass(frozen=True)
class Vanished:
    """Something that the files no longer hold: removed, or kept for ``reason``."""

    kind: str
    ref: str
    reason: str | None = None


class _Unlisted(NamedTuple):
    """A row that no file describes; ``reason`` says why it must stay, if it must."""

    id: int
    ref: str
    reason: str | None


def remove_vanished(connection: Connection, pack: Pack, pack_id: int, *, ours: bool) -> tuple[Vanished, ...]:
    """Remove rules, actions, sensors, triggers and runtimes of the pack that are not in its files.

    Never touched: what was made without a file (ad hoc), workflows, ``auto.*`` runtimes. Kept with a reason: an action
    that a rule runs, that owns secrets or that has an execution under way; a sensor that owns secrets; a trigger that
    a rule listens to; a permission set that somebody has; a runtime that an action or a sensor of any pack uses. Of a
    pack that another program installed (``ours`` is false) everything is kept: this directory may not be all of it.

    Promise: what others made stays.
    """
    vanished: list[Vanished] = []
    for kind, refs in (
        ("rule", [rule.ref for rule in pack.rules]),
        ("action", [*(action.ref for action in pack.actions), *pack.unread]),
        ("sensor", [sensor.ref for sensor in pack.sensors]),
        ("trigger", [trigger.ref for trigger in pack.triggers]),
        ("permission_set", [found.ref for found in pack.permission_sets]),
        ("runtime", [runtime.ref for runtime in pack.runtimes]),
    ):
        vanished += _remove(connection, kind, pack_id, refs, ours=ours)
    return tuple(vanished)


def _remove(connection: Connection, kind: str, pack_id: int, refs: Sequence[str], *, ours: bool) -> list[Vanished]:
    sql = Statements("agent.packs")
    if kind == "permission_set" and not sql.value(connection, "has_permission_sets"):
        return []
    vanished = []
    for row in sql.all(connection, _Unlisted, f"vanished_{kind}s", {"pack": pack_id, "refs": list(refs)}):
        reason = row.reason or (None if ours else FOREIGN)
        if reason is None:
            sql.run(connection, f"delete_{kind}", {"id": row.id})
        vanished.append(Vanished(kind, row.ref, reason))
    return vanished
