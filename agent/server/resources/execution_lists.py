"""Lists of executions, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta
from psycopg import sql
from psycopg.rows import dict_row

from agent.access.grants import Grant
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.server.call import Answer, Call, counted_page, data, one, page, rows
from agent.server.problems import Problem
from agent.server.resources.execution_rows import short
from agent.server.route import Route
from agent.server.shapes import Id, Paging, PerPage, Text, matching
from agent.server.status_counts import counts_by_status

_PACKAGE = "agent.server"
Status = Literal[
    "requested",
    "scheduling",
    "scheduled",
    "running",
    "completed",
    "failed",
    "canceling",
    "cancelled",
    "timeout",
    "abandoned",
]

_COLUMNS = {"pack_refs": "split_part(e.action_ref, '.', 1)", "refs": "e.action_ref", "ids": "e.id::text"}

STATUSES: tuple[str, ...] = get_args(Status)


class ExecutionsQuery(PerPage, kw_only=True):
    """Which executions, newest first; ``after`` goes on behind the execution of that id."""

    status: Status | None = None
    action_ref: Text | None = None
    rule_ref: Text | None = None
    trigger_ref: Text | None = None
    pack_name: Text | None = None
    executor: Id | None = None
    enforcement: Id | None = None
    parent: Id | None = None
    worker: Id | None = None
    result_contains: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    top_level_only: bool = False
    include_total: bool = False
    after: Id | None = None


def list_all(call: Call) -> Answer:
    """List executions, newest first."""
    query: ExecutionsQuery = call.query
    with call.connection() as connection:
        filters, values = _filters(call, connection)
        window = {"limit": query.size + 1, "offset": 0} if query.after else query.window()
        found = _listed(connection, "list_executions", filters, values | window)
        total = _listed(connection, "count_executions", filters, values)[0]["total"] if query.include_total else None
    items, more = found[: query.size], len(found) > query.size
    answer = page([short(row) for row in items], number=query.page, size=query.per_page, total=total, more=more)
    if more:
        answer.headers["Link"] = f'</api/v1/executions?after={items[-1]["id"]}&per_page={query.size}>; rel="next"'
    return answer


def by_status(call: Call) -> Answer:
    """List executions of one status."""
    status = call.path["status"]
    if status not in STATUSES:
        raise Problem.bad(f"there is no status {status[:40]}; there are {', '.join(STATUSES)}")
    query: Paging = call.query
    with call.connection() as connection:
        own = _own(call)
        filters = [sql.SQL("e.status = %(status)s::execution_status_enum"), *own]
        values = {"status": status, "own": call.caller.execution_id}
        found = _listed(connection, "list_executions", filters, values | query.window())
        if own:
            total = _listed(connection, "count_executions", filters, values)[0]["total"]
        else:
            total = counts_by_status(connection, [status])[status]
    return page([short(row) for row in found[: query.size]], number=query.page, size=query.page_size, total=total)


def of_enforcement(call: Call) -> Answer:
    """List what one enforcement started."""
    query: Paging = call.query
    with call.connection() as connection:
        filters = [sql.SQL("e.enforcement = %(enforcement)s"), *_own(call)]
        values = {"enforcement": call.path["id"], "own": call.caller.execution_id}
        found = _listed(connection, "list_executions", filters, values | query.window())
        total = _listed(connection, "count_executions", filters, values)[0]["total"]
    return counted_page(call, [short(row) for row in found], total)


def stats(call: Call) -> Answer:
    """Count executions by what became of them, all of them."""
    if call.caller.kind == "access":
        call.caller.require("executions", "read", {})
    with call.connection() as connection:
        counts = counts_by_status(connection, STATUSES)
    pending = sum(counts.get(status, 0) for status in ("requested", "scheduling", "scheduled"))
    return data(
        {
            "total": sum(counts.values()),
            "completed": counts.get("completed", 0),
            "failed": counts.get("failed", 0),
            "running": counts.get("running", 0),
            "pending": pending,
            "cancelled": counts.get("cancelled", 0) + counts.get("canceling", 0),
            "timeout": counts.get("timeout", 0),
            "abandoned": counts.get("abandoned", 0),
        }
    )


def _filters(call: Call, connection: Connection) -> tuple[list[sql.Composable], dict[str, Any]]:
    query: ExecutionsQuery = call.query
    conditions: list[sql.Composable] = [*_own(call)]
    values: dict[str, Any] = {"own": call.caller.execution_id}

    def where(name: str, condition: str, value: Any) -> None:
        if value is not None:
            conditions.append(sql.SQL(condition))
            values[name] = value

    where("status", "e.status = %(status)s::execution_status_enum", query.status)
    if query.action_ref is not None and "*" in query.action_ref:
        where("action_refs", "e.action_ref = ANY (%(action_refs)s)", _refs(connection, query.action_ref))
    else:
        where("action_ref", "e.action_ref = %(action_ref)s", query.action_ref)
    for name, column in (("rule_ref", "f.rule_ref"), ("trigger_ref", "f.trigger_ref")):
        text = getattr(query, name)
        exact = text is None or "*" not in text
        where(
            name, f"{column} = %({name})s" if exact else f"{column} LIKE %({name})s", text if exact else matching(text)
        )
    if query.pack_name is not None:
        refs = [ref for ref in _refs(connection, f"{query.pack_name}.*") if ref.split(".", 1)[0] == query.pack_name]
        where("pack_refs", "e.action_ref = ANY (%(pack_refs)s)", refs)
    for name in ("executor", "enforcement", "parent", "worker"):
        where(name, f"e.{name} = %({name})s", getattr(query, name))
    where("result_contains", "strpos(lower(e.result::text), lower(%(result_contains)s)) > 0", query.result_contains)
    if query.top_level_only:
        conditions.append(sql.SQL("e.parent IS NULL"))
    if query.after is not None:
        at = one(connection, _PACKAGE, "execution_place", {"id": query.after}, missing="`after` names no execution")
        values |= {"after": query.after, "after_created": at["created"]}
        conditions.append(sql.SQL("(e.created, e.id) < (%(after_created)s, %(after)s)"))
    return conditions, values


def _refs(connection: Connection, pattern: str) -> list[str]:
    """Return what a pattern stands for: an index finds executions by these, and none does by a pattern."""
    found = rows(connection, _PACKAGE, "refs_of_executions", {"pattern": matching(pattern)})
    return [row["ref"] for row in found]


def _own(call: Call) -> list[sql.Composable]:
    """An action sees its own execution and those that it started; a person what the constraints of grants name."""
    if call.caller.may("executions", "read", {}):
        return []
    if call.caller.kind == "execution":
        return [sql.SQL("(e.id = %(own)s OR e.parent = %(own)s)")]
    grants = [_named(call, one) for one in call.caller.grants if one.allows("executions", "read")]
    return [sql.SQL("({})").format(sql.SQL(" OR ").join([*grants, sql.SQL("false")]))]


def _named(call: Call, grant: Grant) -> sql.Composable:
    """Say which executions a grant's constraints name; one that is not known here names none."""
    conditions: list[sql.Composable] = [sql.SQL("true")]
    for name, wanted in grant.constraints.items():
        if name in ("owner", "execution_scope"):
            conditions.append(_owned(call, name, wanted))
        elif name in _COLUMNS and isinstance(wanted, list):
            values = [str(value) for value in wanted if isinstance(value, str | int)]
            conditions.append(sql.SQL("{} = ANY ({}::text[])").format(sql.SQL(_COLUMNS[name]), sql.Literal(values)))
        else:
            conditions.append(sql.SQL("false"))
    return sql.SQL("({})").format(sql.SQL(" AND ").join(conditions))


def _owned(call: Call, name: str, wanted: Any) -> sql.Composable:
    if wanted == "any":
        return sql.SQL("true")
    if (name, wanted) == ("owner", "none"):
        return sql.SQL("e.executor IS NULL")
    if wanted == "self" or name == "execution_scope":
        return sql.SQL("e.executor = {}").format(sql.Literal(call.caller.identity_id))
    return sql.SQL("false")


def _listed(
    connection: Connection, name: str, filters: list[sql.Composable], values: Mapping[str, Any]
) -> list[dict[str, Any]]:

    where = sql.SQL(" AND ").join(filters) if filters else sql.SQL("true")
    statement = sql.SQL(load_queries(_PACKAGE)[name]).format(filters=where)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, values).fetchall()


_READ = ("executions", "read")
ROUTES = (
    Route(
        "GET",
        "/api/v1/executions",
        list_all,
        "List executions",
        needs=_READ,
        query=ExecutionsQuery,
        listed=True,
        answer=dict,
        errors=(404,),
        tag="executions",
    ),
    Route("GET", "/api/v1/executions/stats", stats, "Count executions", needs=_READ, answer=dict, tag="executions"),
    Route(
        "GET",
        "/api/v1/executions/status/{status}",
        by_status,
        "List executions of a status",
        needs=_READ,
        query=Paging,
        listed=True,
        answer=dict,
        tag="executions",
    ),
    Route(
        "GET",
        "/api/v1/enforcements/{id}/executions",
        of_enforcement,
        "List what an enforcement started",
        needs=_READ,
        query=Paging,
        listed=True,
        answer=dict,
        tag="executions",
    ),
)
