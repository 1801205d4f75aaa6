"""One audit event for each change that was asked for and for each refusal, written beside the requests, not in them."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agent.db.pool import Database
from agent.errors import DatabaseError
from agent.server.caller import Caller
from agent.server.route import Route

log = logging.getLogger(__name__)

_INSERT = """
INSERT INTO audit_event (category, event_type, outcome, actor_identity, actor_login, actor_token_type, actor_ip,
                         actor_user_agent, request_id, http_method, http_path, http_status, duration_ms, details,
                         resource_type, resource_ref, resource_id)
VALUES (%s::audit_category_enum, %s, %s::audit_outcome_enum, %s, %s, %s, %s::inet, %s, %s::uuid, %s, %s, %s, %s,
        %s::jsonb, %s, %s, %s)
"""
_KEPT, _BATCH, _PAUSE = 10_000, 200, 0.5
_GATHER = 0.25
"""Seconds that the first of a batch waits for others: a commit for each would slow what it is about."""


class Audit:
    """Events wait in memory for their thread; while the database is away the oldest wait, further ones are dropped."""

    def __init__(self, database: Database) -> None:
        """Prepare; ``run`` writes."""
        self._database = database
        self._waiting: queue.Queue[tuple[Any, ...]] = queue.Queue(_KEPT)
        self._stop = threading.Event()

    def note(
        self,
        route: Route,
        request: Request,
        caller: Caller,
        response: Response,
        seconds: float,
        *,
        at: Mapping[str, Any] | None = None,
    ) -> None:
        """Remember a request; a look at something that was allowed is none. ``at`` names what it was about."""
        status = response.status_code
        denied = status in (401, 403)
        if ((route.method == "GET" or not route.audited) and not denied) or route.path.startswith("/health"):
            return
        outcome = "denied" if denied else "success" if status < 400 else "failure"
        permission = caller.denied[0] if caller.denied else None
        claims = caller.claims
        event = (
            "rbac" if permission else "auth" if route.path.startswith("/auth") else "api",
            f"api.{route.method.lower()}.{outcome}",
            outcome,
            claims.identity if claims else None,
            (claims.login if claims else caller.tried).replace("\x00", "")[:255] or None,
            claims.kind if claims else None,
            _address(caller.address),
            (request.headers.get("user-agent") or "")[:500].replace("\x00", "") or None,
            response.headers.get("X-Request-Id"),
            route.method,
            route.path,
            status,
            int(seconds * 1000),
            f'{{"permission": "{permission}"}}' if permission else None,
            *_resource(route, request.path_params if at is None else at),
        )
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(event)

    def run(self) -> None:
        """Write until ``stop``, and then what is left."""
        while not self._stop.is_set() or not self._waiting.empty():
            try:
                batch = [self._waiting.get(timeout=_PAUSE)]
            except queue.Empty:
                continue
            self._stop.wait(_GATHER)
            while len(batch) < _BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            self._write(batch)

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stop.set()

    def _write(self, batch: list[tuple[Any, ...]]) -> None:
        try:
            with self._database.connection() as connection, connection.cursor() as cursor:
                cursor.executemany(_INSERT, batch)
        except DatabaseError as error:
            log.warning("%d audit events could not be written: %s", len(batch), error)
            time.sleep(_PAUSE)


def _resource(route: Route, at: Mapping[str, Any]) -> tuple[str | None, str | None, int | None]:
    """Return what kind of thing it was about, and its ref or id; a path's other parts may be secret."""
    ref, number = at.get("ref"), str(at.get("id", ""))
    if ref is None and not number:
        return None, None, None
    known = number.isascii() and number.isdigit() and 0 < len(number) < 19
    return (
        route.tag or None,
        None if ref is None else str(ref)[:255].replace("\x00", ""),
        int(number) if known else None,
    )


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
