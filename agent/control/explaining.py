"""Why an execution is where it is: who could take it, and what keeps each of the others away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.errors import NotFound
from agent.placement.candidate import Candidate, candidate_of
from agent.placement.demand import demand_of
from agent.placement.explanation import explain

_WAITING = ("requested", "scheduling")


@dataclass(frozen=True)
class Explained:
    """``outlook`` says whether it may run soon; ``reasons`` are lines, each with the workers it is about."""

    execution_id: int
    status: str
    outlook: str
    sentence: str
    reasons: list[str]
    seconds: float


def explain_execution(connection: Connection, execution_id: int) -> Explained:
    """Look at an execution and at the whole fleet as they are now. Raises NotFound."""
    found = _demands(connection, [execution_id])
    if not found:
        raise NotFound(f"there is no execution {execution_id}", hint="see: attune execution list")
    row = found[0]
    if row["status"] not in _WAITING:
        where = f" on worker {row['worker_name']}" if row["worker_name"] else ""
        waits = ": it is in the worker's queue and not begun yet" if row["status"] == "scheduled" else ""
        sentence = f"execution {execution_id} is {row['status']}{where}{waits}"
        return Explained(execution_id, row["status"], "placed", sentence, [], row["age"])
    told = explain(demand_of(row), _fleet(connection), row["action_ref"])
    return Explained(execution_id, row["status"], told.outlook, told.sentence, told.counted(), row["age"])


def waiting_sentences(connection: Connection, execution_ids: Sequence[int], *, most: int) -> dict[int, str]:
    """Say in a sentence why each of these waits, of those that do; at most so many different ones are looked into.

    The fleet is read once, and what asks for the same is looked into once.
    """
    waiting = [row for row in _demands(connection, execution_ids) if row["status"] in _WAITING]
    fleet = _fleet(connection) if waiting else []
    known: dict[str, str] = {}
    found = {}
    for row in waiting:
        same = repr(sorted((name, value) for name, value in row.items() if name not in ("id", "age", "status")))
        if same not in known and len(known) < most:
            known[same] = explain(demand_of(row), fleet, row["action_ref"]).sentence
        if same in known:
            found[row["id"]] = known[same]
    return found


def _demands(connection: Connection, execution_ids: Sequence[int]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        statement = load_queries("agent.control")["execution_demands"].encode()
        return cursor.execute(statement, {"ids": list(execution_ids)}).fetchall()


def _fleet(connection: Connection) -> list[Candidate]:
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(load_queries("agent.control")["candidates"].encode()).fetchall()
    return [candidate_of(row) for row in found]
