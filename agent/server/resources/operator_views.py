"""Workers, runtimes, actions, packs and accounts as the operator's command shows them, and what it sends at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from agent.access.identities import assign, checked, create_identity
from agent.access.listing import list_accounts
from agent.control import catalog, fleet
from agent.control.version_choice import explain_action
from agent.control.workers import worker_state
from agent.mq.outgoing_messages import pack_registered
from agent.packs.archive import Limits, unpacked
from agent.packs.install import install
from agent.packs.registered import registered_packs
from agent.rules.pack_rules import parse_for_registration
from agent.server.call import Answer, Call, data, rows
from agent.server.delegation import pass_on
from agent.server.problems import Problem
from agent.server.resources import packs as pack_routes
from agent.server.resources.actions import action_facts
from agent.server.route import ACCESS, Route
from agent.server.shapes import Login, Ref, Text

_PACKAGE = "agent.server"


class NameQuery(Struct, kw_only=True):
    """Only the one of this name."""

    name: Text | None = None


class RefQuery(Struct, kw_only=True):
    """Only those of the runtime with this ref."""

    ref: Text | None = None


class PackQuery(Struct, kw_only=True):
    """Only those of this pack."""

    pack: Text | None = None


class WorkerQuery(Struct, kw_only=True):
    """Only this worker."""

    worker: Text | None = None


class NewAccount(Struct):
    """An account with everything that it is to have."""

    login: Login
    password: Text | None = None
    display_name: Annotated[str, Meta(max_length=255)] | None = None
    permission_sets: list[Ref] = []


def workers(call: Call) -> Answer:
    """List workers with everything that they advertise."""
    return data(fleet.workers(call.services.database, call.query.name))


def state(call: Call) -> Answer:
    """Say what a worker has in hand."""
    with call.connection() as connection:
        return data(worker_state(connection, call.path["id"]))


def runtimes(call: Call) -> Answer:
    """List runtimes with the workers that offer them."""
    return data(fleet.runtimes(call.services.database))


def versions(call: Call) -> Answer:
    """List the versions of runtimes."""
    return data(fleet.versions(call.services.database, call.query.ref))


def choice(call: Call) -> Answer:
    """Say which version of its runtime an action gets on each worker, and why."""
    call.caller.require("actions", "read", action_facts(call.path["ref"]))
    return data(explain_action(call.services.database, call.path["ref"], call.query.worker))


def actions(call: Call) -> Answer:
    """List actions with their schemas."""
    found = catalog.list_actions(call.services.database, call.query.pack)
    return data([one for one in found if call.caller.may("actions", "read", action_facts(one["ref"]))])


def action(call: Call) -> Answer:
    """Show an action."""
    call.caller.require("actions", "read", action_facts(call.path["ref"]))
    return data(catalog.find_action(call.services.database, call.path["ref"]))


def packs(call: Call) -> Answer:
    """List the packs that the caller may see, with the number of their parts."""
    with call.connection() as connection:
        seen = {row["ref"] for row in rows(connection, _PACKAGE, "list_packs") if pack_routes.visible(call, row)}
    return data([one for one in registered_packs(call.services.database) if one.ref in seen])


def pack(call: Call) -> Answer:
    """Show a pack with the refs of its parts."""
    pack_routes.show(call)
    return data(catalog.find_pack(call.services.database, call.path["ref"]))


def register(call: Call) -> Answer:
    """Register a pack from an archive; say everything that was done, or all problems that it has."""
    limits = call.settings.pack_upload
    allowed = Limits(limits.max_extracted_size_bytes, limits.max_file_count, limits.max_per_entry_size_bytes)
    database = call.services.database
    with unpacked(call.upload.file, allowed) as directory:
        parsed = parse_for_registration(directory, database)
        if parsed.pack is None:
            return data({"problems": parsed.problems, "warnings": parsed.warnings}, status=200)
        ref = parsed.pack.ref
        with call.connection() as connection:
            pack_routes.may_install(call, connection, parsed.pack)
        done = install(database, parsed.pack, call.settings.packs_base_dir)
    made = done.registration
    message = pack_registered(made.pack_id, made.ref, made.version, made.runtime_names, at=datetime.now(UTC))
    with call.connection() as connection:
        rows(connection, _PACKAGE, "set_installer", {"identity": call.caller.identity_id, "ref": ref})
        call.services.outbox.add(connection, [message])
    return data({"warnings": parsed.warnings, "document": done.as_document(parsed.warnings, told=True)})


def accounts(call: Call) -> Answer:
    """List accounts with their permission sets."""
    with call.connection() as connection:
        return data(list_accounts(connection))


def create_account(call: Call) -> Answer:
    """Make an account with permission sets, all of it or nothing; nobody gives more than he has."""
    body: NewAccount = call.body
    with call.connection() as connection:
        known: dict[str, Any] = {
            row["ref"]: row["grants"]
            for row in rows(connection, _PACKAGE, "permission_sets", {"pack_ref": None, "id": None})
        }
        if body.permission_sets:
            call.caller.require("permissions", "manage", {})
        for ref in body.permission_sets:
            if ref not in known:
                raise Problem.not_found(f"there is no permission set {ref}")
            pass_on(call, known[ref])
        password = None if body.password is None else checked(body.password)
        made = create_identity(connection, body.login, password=password, display_name=body.display_name)
        for ref in body.permission_sets:
            assign(connection, made, ref)
    return data({"id": made, "login": body.login, "permission_sets": body.permission_sets}, status=201)


_WORKERS, _RUNTIMES, _ACTIONS = ("workers", "read"), ("runtimes", "read"), ("actions", "read")
_BASE = "/api/v1/operator"
ROUTES = (
    Route(
        "GET", f"{_BASE}/workers", workers, "List workers as the command does", needs=_WORKERS, query=NameQuery,
        answer=list, errors=(404,), tag="operator",
    ),
    Route(
        "GET", f"{_BASE}/workers/{{id}}/state", state, "What a worker has in hand", needs=_WORKERS, answer=dict,
        errors=(404,), tag="operator",
    ),
    Route("GET", f"{_BASE}/runtimes", runtimes, "List runtimes as the command does", needs=_RUNTIMES, answer=list,
          tag="operator"),
    Route(
        "GET", f"{_BASE}/runtime-versions", versions, "List versions as the command does", needs=_RUNTIMES,
        query=RefQuery, answer=list, errors=(404,), tag="operator",
    ),
    Route(
        "GET", f"{_BASE}/actions", actions, "List actions as the command does", needs=_ACTIONS, query=PackQuery,
        answer=list, tag="operator",
    ),
    Route("GET", f"{_BASE}/actions/{{ref}}", action, "Show an action as the command does", needs=_ACTIONS, answer=dict,
          errors=(404,), tag="operator"),
    Route(
        "GET", f"{_BASE}/actions/{{ref}}/runtime", choice, "Which version an action gets", needs=_ACTIONS,
        query=WorkerQuery, answer=dict, errors=(404,), tag="operator",
    ),
    Route("GET", f"{_BASE}/packs", packs, "List packs as the command does", answer=list, tag="operator"),
    Route(
        "POST", f"{_BASE}/packs", register, "Register a pack as the command does", ACCESS, ("packs", "install"),
        upload="pack", form=("force", "skip_tests"), answer=dict, errors=(409, 413, 415), tag="operator",
    ),
    Route("GET", f"{_BASE}/packs/{{ref}}", pack, "Show a pack as the command does", answer=dict, errors=(404,),
          tag="operator"),
    Route("GET", f"{_BASE}/accounts", accounts, "List accounts as the command does", ACCESS, ("identities", "read"),
          answer=list, tag="operator"),
    Route(
        "POST", f"{_BASE}/accounts", create_account, "Make an account with permission sets", ACCESS,
        ("identities", "create"), body=NewAccount, answer=dict, status=201, errors=(404, 409, 503), tag="operator",
    ),
)  # fmt: skip
