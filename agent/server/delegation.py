"""Nobody passes on what he does not hold: neither permission sets nor, by a password or a token, another's account."""

from __future__ import annotations

from typing import Any

from agent.access.grants import Grant, missing, read_grants
from agent.access.identities import find_account, grants_of_sets
from agent.db.pool import Connection
from agent.packs.model import Pack
from agent.server.call import Call, rows
from agent.server.caller import STANDARD
from agent.server.problems import Problem


def pass_on(call: Call, grants: list[dict[str, Any]]) -> None:
    """Let the caller give these grants to somebody. Raises Problem (403)."""
    pass_on_grants(call, read_grants([grants]))


def pass_on_grants(call: Call, grants: tuple[Grant, ...]) -> None:
    """Let the caller give these grants to somebody. Raises Problem (403)."""
    _refuse(call, grants, "you can't pass on what you don't hold")


def pass_on_role(call: Call, connection: Connection, role: str) -> None:
    """Let the caller give a role, which passes on the permission sets that it has. Raises Problem (403)."""
    for found in rows(connection, "agent.server", "permission_sets", {"pack_ref": None, "id": None}):
        if any(entry["role"] == role for entry in found["roles"]):
            pass_on(call, found["grants"])


def pass_on_sets(call: Call, connection: Connection, refs: list[str]) -> None:
    """Let the caller give permission sets to an execution. Raises Problem (403)."""
    grants, unknown = grants_of_sets(connection, [ref for ref in refs if ref != STANDARD])
    if unknown:
        raise Problem(403, "FORBIDDEN", f"there is no permission set {unknown[0]}")
    _refuse(call, grants, "you can't pass on what you don't hold")


def pass_on_pack(call: Call, connection: Connection, pack: Pack) -> None:
    """Let the caller install a pack, whose actions and rules run with the permission sets they name. Raises Problem."""
    own = {one.ref: one.grants for one in pack.permission_sets}
    refs = {ref for action in pack.actions for ref in action.permission_set_refs}
    refs |= {ref for rule in pack.rules for ref in rule.permission_set_refs or ()}
    for ref in sorted(refs & own.keys()):
        pass_on(call, [dict(grant) for grant in own[ref]])
    pass_on_sets(call, connection, sorted(refs - own.keys()))


def take_over(call: Call, connection: Connection, identity: int) -> None:
    """Let the caller get what another logs in with, who must not hold more than the caller. Raises Problem (403)."""
    if identity == call.caller.identity_id:
        return
    account = find_account(connection, identity)
    if account is not None:
        _refuse(call, account.grants, "this account may do what you may not")


def _refuse(call: Call, grants: tuple[Grant, ...], sentence: str) -> None:
    lacking = missing(call.caller.grants, grants)
    if lacking:
        raise Problem(403, "FORBIDDEN", f"{sentence}: {', '.join(lacking[:5])}")
