"""From a request to a call and from an answer to a response, for one route: authenticate, decode, check, act, encode.

Who sends it is known before a byte of the body is read, and that they may before any of it is decoded, or more than a
little is read.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from agent.access.tokens import Claims, check
from agent.errors import AccessDenied
from agent.server.audit import Audit
from agent.server.call import Answer, Call, Later, Services
from agent.server.caller import Caller
from agent.server.opened_file import OpenedFile, OpenedFileResponse
from agent.server.peer import client_address, is_encrypted
from agent.server.problems import Problem, problem_of
from agent.server.route import Route
from agent.server.streams.sse import EventStream, EventStreamResponse
from agent.server.strict_json import BadJson, check_text, read_json
from agent.server.uploads import Upload, receive, receive_content
from agent.settings import Settings

log = logging.getLogger(__name__)

COOKIE = "attune_access_token"
_LARGEST = 2**63 - 1
_BY_OBJECT = ("actions", "artifacts", "executions", "keys", "packs")
_CHANGED_BY_OBJECT = ("rules", "triggers")
_AROUND_A_FILE = 1 << 16
"""Bytes that a form may have beside the file in it."""
_SMALL = 64 * 1024
"""Bytes of a body that is read before anybody asks whether its sender may: it has come with the headers, or nearly."""
_encoder = msgspec.json.Encoder()


class Binding:
    """The endpoint of one route."""

    def __init__(self, route: Route, services: Services, limiter: anyio.CapacityLimiter, audit: Audit) -> None:
        """Handlers run in threads, as many at once as ``limiter`` lets."""
        self._route = route
        self._services = services
        self._limiter = limiter
        self._audit = audit

    async def respond(self, request: Request) -> Response:
        """Answer a request, whatever happens."""
        begin = time.monotonic()
        caller = Caller(self._services.database, address=client_address(request, self._services.settings.server))
        try:
            response = await self._answer(request, caller)
        except ClientDisconnect:
            response = Response(status_code=499)
        except Exception as error:  # noqa: BLE001 - the edge: every error becomes an answer
            response = problem_of(error).response()
        response.headers.setdefault("X-Request-Id", str(uuid.uuid4()))
        self._count(response.status_code)
        self._audit.note(self._route, request, caller, response, time.monotonic() - begin)
        return response

    async def _answer(self, request: Request, caller: Caller) -> Response:
        caller.claims = self._authenticated(request)
        call = Call(
            self._services,
            caller,
            path=_path(self._route, request.path_params),
            query=_query(self._route, request.url.query),
            headers=request.headers,
            cookies=request.cookies,
        )
        upload: Upload | None = None
        unread: Request | None = None
        try:
            if self._route.body is not None and _is_small(request):
                # One thread instead of two: it asks, and decodes what was read only then.
                limit = min(_SMALL, self._services.settings.server.max_body_bytes)
                call.raw, unread = await read_body(request, limit), request
            elif self._route.upload or self._route.content or self._route.body is not None:
                await anyio.to_thread.run_sync(permit, self._route, call, limiter=self._limiter)
            if self._route.upload:
                limit = _largest_form(self._route, self._services.settings)
                upload = call.upload = await receive(request, limit, self._route.upload)
            elif self._route.content:
                call.content = await receive_content(request, self._services.settings.artifacts.max_upload_size)
            elif self._route.body is not None and unread is None:
                call.raw = await read_body(request, self._services.settings.server.max_body_bytes)
                call.body = _body(self._route, request, call.raw)
            elif self._route.raw_limit is not None:
                limit = await anyio.to_thread.run_sync(self._route.raw_limit, call, limiter=self._limiter)
                call.raw = await read_body(request, limit)
            answer = await self._handled(call, unread)
        finally:
            if upload is not None:
                upload.close()
            if call.content is not None:
                call.content.close()
        if isinstance(answer.content, EventStream):
            return EventStreamResponse(answer.content, self._services.streams.open)
        return _response(self._route, answer, encrypted=is_encrypted(request, self._services.settings.server))

    async def _handled(self, call: Call, unread: Request | None) -> Answer:
        """Run the handler; one that waits for a change is run again at each, in the time that it asked for."""
        begin = time.monotonic()
        while True:
            changes = self._services.changes
            seen = changes.seen()
            answer = await anyio.to_thread.run_sync(_run, self._route, call, unread, limiter=self._limiter)
            if isinstance(answer, Answer):
                return answer
            left = begin + answer.seconds - time.monotonic()
            if left <= 0 or self._services.draining:
                return answer.answer
            await changes.wait(answer.topic, seen, left)

    def _authenticated(self, request: Request) -> Claims | None:
        """Look at the header first: a stale cookie must not spoil a good token."""
        route = self._route
        shown, from_cookie = _token(request)
        if not route.who:
            return None
        if shown is None:
            raise Problem.unauthorized("Missing authentication token")
        if from_cookie and route.method != "GET":
            raise Problem(403, "FORBIDDEN", "a change needs the token in the Authorization header, not in a cookie")
        try:
            claims = check(shown, secret=self._services.secret, now=self._services.clock.now())
        except AccessDenied as error:
            raise Problem.unauthorized(str(error)) from None
        if claims.kind == "refresh":
            raise Problem.unauthorized("Invalid authentication token")
        if claims.kind not in route.who:
            raise Problem(403, "FORBIDDEN", f"a token of kind {claims.kind} may not do this")
        return claims

    def _count(self, status: int) -> None:
        key = (self._route.method, self._route.path, status)
        self._services.counters[key] = self._services.counters.get(key, 0) + 1


def _largest_form(route: Route, settings: Settings) -> int:
    if route.upload == "pack":
        return settings.pack_upload.max_upload_size_bytes
    return settings.artifacts.max_upload_size + _AROUND_A_FILE


def _token(request: Request) -> tuple[str | None, bool]:
    header = request.headers.get("authorization")
    if header is not None:
        return (header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else ""), False
    cookie = request.cookies.get(COOKIE)
    return cookie, cookie is not None


def asks_again(resource: str, action: str) -> bool:
    """Whether handlers ask for this permission once more, on the object; the others know nothing of a constraint."""
    return resource in _BY_OBJECT or (resource in _CHANGED_BY_OBJECT and action != "read")


def permit(route: Route, call: Call) -> None:
    """Go on only if the caller's account lives and may use the route at all. Raises Problem."""
    if route.who and call.caller.kind in ("access", "sensor"):
        _ = call.caller.identity  # gone or frozen: no token of it counts any more
    if route.needs is not None:
        call.caller.require(*route.needs, None if asks_again(*route.needs) else {})


def _is_small(request: Request) -> bool:
    length = request.headers.get("content-length", "" if "transfer-encoding" in request.headers else "0")
    return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= _SMALL


def _run(route: Route, call: Call, unread: Request | None) -> Answer | Later:
    """Do it; ``unread``: nobody has asked yet whether this caller may, and the body is to be decoded after that."""
    if unread is not None or (route.body is None and not route.upload and not route.content):
        permit(route, call)
    if unread is not None:
        call.body = _body(route, unread, call.raw)
    return route.handler(call)


def _path(route: Route, found: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in route.names:
        text = str(found[name])
        if route.kind(name) is int:
            if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _LARGEST):
                raise Problem(400, "BAD_REQUEST", f"{name} must be a whole number", plain=True)
            values[name] = int(text)
        else:
            values[name] = _text(text)
    return values


def _query(route: Route, query: str) -> Any:
    if route.query is None:
        return None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Problem.bad("the query has too many fields") from None
    values = {name: _text(value) for name, value in pairs if value != ""}
    try:
        return msgspec.convert(values, route.query, strict=False)
    except msgspec.ValidationError as error:
        raise Problem.bad(f"query: {error}") from None


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body that is no larger than ``limit`` bytes. Raises Problem."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise Problem(413, "BAD_REQUEST", f"the body is larger than {limit} bytes", plain=True)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(413, "BAD_REQUEST", f"the body is larger than {limit} bytes", plain=True)
    return bytes(body)


def _body(route: Route, request: Request, raw: bytes) -> Any:
    if not raw and route.body_optional:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Problem(415, "BAD_REQUEST", "the body must be JSON: Content-Type: application/json", plain=True)
    try:
        value = read_json(raw)
    except BadJson as error:
        raise Problem(400, "BAD_REQUEST", str(error), plain=True) from None
    try:
        return msgspec.convert(value, route.body)
    except msgspec.ValidationError as error:
        raise Problem(422, "VALIDATION_ERROR", f"body: {error}") from None


def _text(text: str) -> str:
    try:
        return check_text(text)
    except BadJson as error:
        raise Problem(400, "BAD_REQUEST", str(error), plain=True) from None


def _response(route: Route, answer: Answer, *, encrypted: bool) -> Response:
    content = answer.content
    if isinstance(content, OpenedFile):
        return OpenedFileResponse(content, answer.file_name, answer.headers, answer.media_type)
    body = content if isinstance(content, bytes) else b"" if content is None else _encoder.encode(content)
    response = Response(body, answer.status or route.status, answer.headers, answer.media_type)
    response.headers.setdefault("Cache-Control", "no-store")
    for name, value, seconds in answer.cookies:
        response.set_cookie(name, value, max_age=seconds, httponly=True, secure=encrypted, samesite="lax", path="/")
    return response
