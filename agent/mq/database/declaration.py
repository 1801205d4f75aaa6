"""Exchanges, queues and bindings as rows: declared like RabbitMQ's, with the same refusals."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.errors import UndefinedFunction, UndefinedTable
from psycopg.types.json import Jsonb

from agent.db.queries import load_queries
from agent.errors import BrokerError
from agent.mq.broker import Queue
from agent.mq.topology import DEAD_LETTER_QUEUE, EXCHANGES

Connection = psycopg.Connection[tuple[Any, ...]]
SQL = load_queries("agent.mq.database")


def declare(connection: Connection, queues: tuple[Queue, ...]) -> None:
    """Declare the common exchanges and these queues in one transaction.

    Raises:
        BrokerError: something exists with other arguments, or the tables of the broker are missing.
    """
    try:
        with connection.transaction():
            for exchange in EXCHANGES:
                connection.execute(SQL["declare_exchange"], {"name": exchange.name, "kind": exchange.kind})
            for queue in (DEAD_LETTER_QUEUE, *queues):
                _declare_queue(connection, queue)
    except (UndefinedTable, UndefinedFunction) as error:
        raise BrokerError(
            "the database has no message queue", hint="run: attune db migrate (with --queue in a foreign schema)"
        ) from error


def unbind(connection: Connection, queue: Queue) -> None:
    """Remove the listed bindings of a queue."""
    for exchange, key in queue.bindings:
        connection.execute(SQL["unbind"], {"exchange": exchange, "routing_key": key, "queue": queue.name})


def _declare_queue(connection: Connection, queue: Queue) -> None:
    arguments = Jsonb(dict(queue.arguments))
    values = {
        "name": queue.name,
        "arguments": arguments,
        "ttl_ms": queue.arguments.get("x-message-ttl"),
        "dead_letter_exchange": queue.arguments.get("x-dead-letter-exchange"),
    }
    connection.execute(SQL["declare_queue"], values)
    same = connection.execute(SQL["same_arguments"], {"name": queue.name, "arguments": arguments}).fetchone()
    if same is not None and not same[0]:
        raise BrokerError(f"queue {queue.name} exists with other arguments")
    for exchange, key in queue.bindings:
        connection.execute(
            SQL["bind"],
            {"exchange": exchange, "routing_key": key, "queue": queue.name, "pattern": topic_pattern(key)},
        )


def topic_pattern(key: str) -> str | None:
    """Translate a topic key into a regular expression over words that each end with a dot; None without wildcards.

    ``*`` is one word, ``#`` any number of words (AMQP 0-9-1, section 3.1.3.3).
    """
    words = key.split(".")
    if "*" not in words and "#" not in words:
        return None
    return "^" + "".join(_WORDS.get(word) or re.escape(word) + r"\." for word in words) + "$"


_WORDS = {"*": r"[^.]*\.", "#": r"([^.]*\.)*"}
