"""What a handler gets and what it gives back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from psycopg.rows import dict_row

from agent.access.login import Logins
from agent.control.outbox import Outbox
from agent.db.clock import DatabaseClock
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.dispatch.service import Dispatcher
from agent.mq.broker import Broker
from agent.retention.service import Retention
from agent.rules.service import Rules
from agent.server.caller import Caller
from agent.server.pack_archives import PackArchives
from agent.server.problems import Problem
from agent.server.rule_changes import Changes
from agent.server.streams.hub import Hub
from agent.settings import Settings


@dataclass
class Services:
    """What handlers work with, made once a process."""

    settings: Settings
    database: Database
    secret: str
    clock: DatabaseClock
    outbox: Outbox
    broker: Broker
    logins: Logins
    streams: Hub
    dispatcher: Dispatcher | None
    rules: Rules | None
    changes: Changes
    archives: PackArchives = field(default_factory=PackArchives)
    retention: Retention | None = None
    draining: bool = False
    counters: dict[tuple[str, str, int], int] = field(default_factory=dict)


@dataclass
class Call:
    """One request, decoded and checked as its route says."""

    services: Services
    caller: Caller
    path: Mapping[str, Any]
    query: Any = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""
    upload: Any = None
    content: Any = None

    @property
    def settings(self) -> Settings:
        """The settings of the server."""
        return self.services.settings

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection for one transaction."""
        with self.services.database.connection() as connection:
            yield connection


@dataclass(frozen=True)
class Later:
    """Nothing has changed yet: ask the handler again when ``topic`` did, for ``seconds`` at most.

    ``answer`` is what is said when the time is over. Nobody holds a thread meanwhile.
    """

    topic: str
    seconds: float
    answer: Answer


@dataclass
class Answer:
    """``content`` is encoded as JSON; bytes, None and an opened file, under ``file_name``, are sent as they are."""

    content: Any
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    file_name: str = ""
    cookies: list[tuple[str, str, int]] = field(default_factory=list)


def data(content: Any, *, message: str | None = None, status: int | None = None, **headers: str) -> Answer:
    """Put one object into the envelope."""
    envelope = {"data": content} if message is None else {"data": content, "message": message}
    # A path may have characters that no header has: what is done already must not be answered as if it had failed.
    return Answer(envelope, status, {name: quote(value, safe="/:@") for name, value in headers.items()})


def deleted(message: str) -> Answer:
    """Say that something is gone."""
    return Answer({"success": True, "message": message})


def rows(
    connection: Connection, package: str, name: str, values: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Run a named statement; return its rows."""
    sql = load_queries(package)[name].encode()
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(sql, values or {})
        return cursor.fetchall() if cursor.description else []


def one(
    connection: Connection, package: str, name: str, values: Mapping[str, Any] | None = None, *, missing: str = ""
) -> dict[str, Any]:
    """Run a named statement that gives one row. Raises Problem (404) with ``missing`` when it gives none."""
    found = rows(connection, package, name, values)
    if not found:
        raise Problem.not_found(missing or "there is no such thing")
    return found[0]


def counted_page(call: Call, found: Sequence[Any], total: int) -> Answer:
    """Put the page that the query asks for into the envelope; ``found`` may hold one row more than it has."""
    return page(found[: call.query.size], number=call.query.page, size=call.query.page_size, total=total)


def page(items: Sequence[Any], *, number: int, size: int, total: int | None = None, more: bool = False) -> Answer:
    """Put a page of a list into the envelope; ``more`` says whether another follows where nobody counted."""
    pagination: dict[str, Any] = {"page": number, "page_size": size}
    if total is not None:
        pagination |= {"total_items": total, "total_pages": -(-total // size) if size else 0}
        more = number * size < total
    pagination |= {"has_previous": number > 1, "has_next": more}
    return Answer({"items": list(items), "pagination": pagination})
