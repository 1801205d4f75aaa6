"""What a request is answered with when it can't be done: one sentence, a code, a status; never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from starlette.responses import JSONResponse, PlainTextResponse, Response

from agent.access.login import Frozen, SlowDown
from agent.errors import (
    AccessDenied,
    AgentError,
    BrokerUnavailable,
    ConfigurationError,
    Conflict,
    DatabaseError,
    DatabaseUnavailable,
    NotFound,
    Overloaded,
    PackError,
    UsageError,
)

log = logging.getLogger(__name__)


@dataclass
class Problem(Exception):
    """An answer that says why not. ``code`` is what clients look at; ``plain``: the sentence alone, as text."""

    status: int
    code: str
    message: str
    hint: str | None = None
    details: list[str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    plain: bool = False

    @classmethod
    def unauthorized(cls, message: str) -> Problem:
        """The token is missing or not accepted."""
        return cls(401, "UNAUTHORIZED", message, headers={"WWW-Authenticate": "Bearer"})

    @classmethod
    def not_found(cls, what: str) -> Problem:
        """There is no such thing."""
        return cls(404, "NOT_FOUND", what)

    @classmethod
    def bad(cls, message: str) -> Problem:
        """The request can't be understood."""
        return cls(400, "BAD_REQUEST", message)

    @classmethod
    def invalid(cls, message: str) -> Problem:
        """A field has a value that it can't have."""
        return cls(422, "VALIDATION_ERROR", message)

    def response(self) -> Response:
        """Return the answer."""
        if self.plain:
            return PlainTextResponse(self.message, self.status, dict(self.headers))
        body: dict[str, Any] = {"error": self.message, "code": self.code}
        if self.code == "UNAUTHORIZED" and "WWW-Authenticate" in self.headers:
            body = {"error": {"code": self.status, "message": self.message}}
        if self.hint:
            body["hint"] = self.hint
        if self.details:
            body["details"] = self.details
        return JSONResponse(body, self.status, dict(self.headers))


def problem_of(error: Exception) -> Problem:
    """Turn any error into an answer; what nobody expected is logged whole and told as nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DatabaseUnavailable | BrokerUnavailable | Overloaded):
        return Problem(503, "SERVICE_UNAVAILABLE", _public(error), headers={"Retry-After": "2"})
    if isinstance(error, DatabaseError):
        return _refused(error)
    if isinstance(error, SlowDown):
        return Problem(429, "TOO_MANY_REQUESTS", str(error), headers={"Retry-After": str(int(error.seconds) + 1)})
    if isinstance(error, AccessDenied):
        return Problem(401, "UNAUTHORIZED", str(error))
    if isinstance(error, UnicodeEncodeError):
        return Problem.invalid("a string contains a character that can't be stored")
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            return Problem(status, code, str(error), hint=error.hint if isinstance(error, AgentError) else None)
    log.error("a request failed: %s", error, exc_info=error)
    return Problem(500, "INTERNAL_SERVER_ERROR", "this is a bug in the server; its log says more")


_KINDS: tuple[tuple[type[Exception], int, str], ...] = (
    (NotFound, 404, "NOT_FOUND"),
    (Conflict, 409, "CONFLICT"),
    (Frozen, 403, "FORBIDDEN"),
    (UsageError, 422, "VALIDATION_ERROR"),
    (PackError, 400, "BAD_REQUEST"),
    (ConfigurationError, 400, "BAD_REQUEST"),
    (AgentError, 400, "BAD_REQUEST"),
)


def _public(error: Exception) -> str:
    """A client need not know where the database is."""
    if isinstance(error, DatabaseUnavailable):
        return "the database is away; try again"
    return "the message broker is away; try again" if isinstance(error, BrokerUnavailable) else str(error)


def _refused(error: DatabaseError) -> Problem:
    """The database keeps some rules itself: its refusals are the client's fault, or pass."""
    cause = error.__cause__
    state = (cause.sqlstate if isinstance(cause, psycopg.Error) else None) or ""
    diagnosis = cause.diag if isinstance(cause, psycopg.Error) else None
    if state == "23505":
        return Problem(409, "CONFLICT", f"Already exists ({diagnosis.constraint_name if diagnosis else 'unique'})")
    if state in ("23503", "23514", "23502"):
        name = (diagnosis.constraint_name or diagnosis.column_name) if diagnosis else None
        return Problem(422, "UNPROCESSABLE_ENTITY", f"the database refuses this value ({name or state})")
    if state == "P0001":
        return Problem.bad(diagnosis.message_primary or "refused" if diagnosis else "refused")
    # Without a state the driver itself could not write the value: a character that the database can't hold.
    if state.startswith("22") or (isinstance(cause, psycopg.DataError) and not state):
        return Problem.invalid("a value is too long or out of range, or can't be stored")
    if state.startswith(("40", "55P03", "57014", "53")):
        return Problem(503, "SERVICE_UNAVAILABLE", "the database is busy; try again", headers={"Retry-After": "1"})
    log.error("the database refused a statement: %s", error, exc_info=error)
    return Problem(500, "DATABASE_ERROR", "the database refused a statement; the server's log says more")
