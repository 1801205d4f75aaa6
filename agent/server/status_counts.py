"""How many executions have each status, at a price that does not grow with them."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from psycopg.rows import dict_row

from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.server.call import rows

EXACT = 2_000
"""Up to so many are counted; a larger number is the planner's estimate."""


def counts_by_status(connection: Connection, statuses: Sequence[str]) -> dict[str, int]:
    """Return the number of each of ``statuses``. Raises psycopg.Error."""
    statement = sql.SQL(load_queries("agent.server")["count_some"].rstrip().rstrip(";"))
    parts = [statement.format(status=sql.Literal(status), most=sql.Literal(EXACT + 1)) for status in statuses]
    with connection.cursor(row_factory=dict_row) as cursor:
        counted = cursor.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()
    found = {str(row["status"]): int(row["number"]) for row in counted}
    if any(number > EXACT for number in found.values()):
        estimated = {row["status"]: row["number"] for row in rows(connection, "agent.server", "estimated_counts")}
        found |= {status: max(number, estimated.get(status, 0)) for status, number in found.items() if number > EXACT}
    return found
