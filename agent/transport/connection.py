"""Requests to the server, one after the other over a connection that is kept; each thread has one of its own."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Protocol

from agent import __version__
from agent.errors import ServerError, ServerUnavailable
from agent.reading.json_text import read_json
from agent.transport.address import ServerAddress

#: Seconds for one piece of the network's work: a connection, a read, a write.
PATIENCE = 30.0
_LARGEST_ANSWER = 1 << 20
_BUSY = (408, 425, 429, 500, 502, 503, 504, 507)
_LONGEST_REASON = 300


class Token(Protocol):
    """What shows the server who asks."""

    def __call__(self) -> str:
        """Return the token to show now. Raises ServerError."""

    def refused(self, token: str) -> None:
        """Note that the server did not take ``token``."""


@dataclass(frozen=True)
class Reply:
    """An answer that was read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ServerConnection:
    """Belongs to one thread at a time."""

    def __init__(self, address: ServerAddress, token: Token | None, *, patience: float = PATIENCE) -> None:
        """Connect when the first request is sent; ``patience`` is in seconds."""
        self._address = address
        self._token = token
        self._patience = patience
        self._http: HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        accepted: tuple[int, ...] = (),
    ) -> Reply:
        """Send a request that may safely be sent again; return an answer of the class 200, or one that is ``accepted``.

        Raises:
            ServerUnavailable: there was no answer, or one that says later.
            ServerError: the server refused.
        """
        with self.answer(method, path, body=body, headers=headers, accepted=accepted) as found:
            try:
                content = b"" if method == "HEAD" else found.read(_LARGEST_ANSWER)
                if not found.isclosed() and method != "HEAD" and found.read(1):
                    self.close()  # whatever else it has to say
            except (OSError, HTTPException) as error:
                raise self._unavailable(error) from error
            return Reply(found.status, _lowered(found), content)

    @contextlib.contextmanager
    def answer(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        accepted: tuple[int, ...] = (),
    ) -> Iterator[HTTPResponse]:
        """As ``request``, but give the answer before its body was read; what is left of it ends the connection."""
        found = self._sent(method, path, body, dict(headers or {}))
        try:
            if found.status // 100 != 2 and found.status not in accepted:
                raise self._refusal(method, path, found)
            yield found
        finally:
            if not found.isclosed():
                self.close()

    def _sent(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> HTTPResponse:
        if self._token is None:
            return self._exchange(method, path, body, headers, None)
        token = self._token()
        found = self._exchange(method, path, body, headers, token)
        if found.status != 401:
            return found
        # It ended before we thought so, or the server's key has changed: once more with a new one.
        _skip(found)
        self._token.refused(token)
        return self._exchange(method, path, body, headers, self._token())

    def _exchange(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], token: str | None
    ) -> HTTPResponse:
        shown = {"User-Agent": f"attune-agent/{__version__}", **self._address.headers(), **headers}
        if token is not None:
            shown["Authorization"] = f"Bearer {token}"
        kept = self._http is not None
        try:
            return self._once(method, path, body, shown)
        except (OSError, HTTPException) as error:
            self.close()
            if not kept or isinstance(error, TimeoutError):
                raise self._unavailable(error) from error
        # A connection that was kept may have been closed by the other side before it saw the request.
        try:
            return self._once(method, path, body, shown)
        except (OSError, HTTPException) as error:
            self.close()
            raise self._unavailable(error) from error

    def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        http = self._http
        if http is None:
            http = self._address.connection(self._patience)
            http.connect()
            # A request's head and body are two small packets: the second must not wait for the first one's receipt.
            http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._http = http
        wanted = body if body or method in ("PUT", "POST", "PATCH") else None
        http.request(method, self._address.target(path), body=wanted, headers=dict(headers))
        return http.getresponse()

    def _unavailable(self, error: BaseException) -> ServerUnavailable:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServerUnavailable(f"the server at {self._address.url} does not answer: {why}")

    def _refusal(self, method: str, path: str, found: HTTPResponse) -> ServerError:
        kind = ServerUnavailable if found.status in _BUSY else ServerError
        why = _reason(found)
        text = f"{method} {self._address.url}{path.partition('?')[0]}: {found.status}{why and ': '}{why}"
        return kind(text, status=found.status)


def _lowered(found: HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in found.getheaders()}


def _skip(found: HTTPResponse) -> None:
    with contextlib.suppress(OSError, HTTPException):
        found.read(_LARGEST_ANSWER)


def _reason(found: HTTPResponse) -> str:
    """Return the sentence of a refusal, as short as a log can hold it."""
    try:
        text = found.read(65536).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""
    with contextlib.suppress(ValueError):
        document = read_json(text)
        if isinstance(document, dict):
            said = document.get("error")
            text = str(said.get("message") if isinstance(said, dict) else said or document.get("message") or "")
    return " ".join(json.dumps(text, ensure_ascii=False)[1:-1].split())[:_LONGEST_REASON]
