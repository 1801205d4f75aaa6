"""Messages that belong to a transaction: they are sent when it is committed, and not otherwise.

With the database as the broker they are queued in the transaction itself. Otherwise they wait in a table until the
broker has confirmed them, whoever sends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.mq.broker import Outgoing
from agent.settings import Settings


def broker_in_database(settings: Settings) -> bool:
    """Whether the database of the settings is the broker as well, so that messages are rows of the same transaction."""
    url = (settings.message_queue.url or "database").strip()
    return url in ("database", settings.database.url)


def is_broker(connection: Connection) -> bool:
    """Whether somebody uses this database as the broker. Raises psycopg.Error."""
    sql = Statements("agent.control")
    return bool(sql.value(connection, "has_broker_tables") and sql.value(connection, "is_broker"))


class Outbox:
    """Where a transaction leaves its messages."""

    def __init__(self, *, in_database: bool) -> None:
        """``in_database``: the database is the broker."""
        self.in_database = in_database

    def add(self, connection: Connection, messages: Sequence[Outgoing]) -> None:
        """Leave messages in the transaction of ``connection``, in order. Raises psycopg.Error."""
        if not messages:
            return
        if self.in_database:
            connection.execute(load_queries("agent.mq.database")["publish"].encode(), _columns(messages))
        else:
            connection.execute(load_queries("agent.control")["insert_outbox"].encode(), _columns(messages))


def _columns(messages: Sequence[Outgoing]) -> dict[str, list[Any]]:
    return {
        "exchanges": [message.exchange for message in messages],
        "routing_keys": [message.routing_key for message in messages],
        "bodies": [message.body for message in messages],
        "message_ids": [message.message_id for message in messages],
        "correlation_ids": [message.correlation_id for message in messages],
        "timestamps": [message.timestamp for message in messages],
    }
