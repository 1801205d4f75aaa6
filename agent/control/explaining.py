"""Why an execution is where it is: who could take it, and what keeps each of the others away."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import dict_row

from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.errors import NotFound
from agent.placement.candidate import Candidate
from agent.placement.demand import demand_of
from agent.placement.explanation import explain


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
    queries = load_queries("agent.control")
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(queries["execution_demand"].encode(), {"id": execution_id}).fetchone()
        if row is None:
            raise NotFound(f"there is no execution {execution_id}", hint="see: attune execution list")
        fleet = [
            Candidate(**{**one, "capabilities": one["capabilities"] if isinstance(one["capabilities"], dict) else {}})
            for one in cursor.execute(queries["candidates"].encode()).fetchall()
        ]
    if row["status"] not in ("requested", "scheduling"):
        where = f" on worker {row['worker_name']}" if row["worker_name"] else ""
        waits = ": it is in the worker's queue and not begun yet" if row["status"] == "scheduled" else ""
        sentence = f"execution {execution_id} is {row['status']}{where}{waits}"
        return Explained(execution_id, row["status"], "placed", sentence, [], row["age"])
    found = explain(demand_of(row), fleet, row["action_ref"])
    return Explained(execution_id, row["status"], found.outlook, found.sentence, found.counted(), row["age"])
