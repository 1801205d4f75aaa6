"""Requests to the API: one at a time, with a token that is renewed once when it has expired.

Nothing is sent to another host than the one that was named: a redirection is an error, because a token would follow it.
Proxies are those of the environment (``HTTPS_PROXY``, ``NO_PROXY``), certificate authorities those of the machine,
of ``SSL_CERT_FILE``, or the file that was named at log-in.
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import IO, Any, Protocol
from urllib.parse import quote, urlencode

from agent import __version__
from agent.authorities import AUTHORITIES
from agent.client.refusals import refusal
from agent.errors import AgentError, ApiUnavailable, ConfigurationError
from agent.reading.json_text import read_json

_TIMEOUT = 30.0
_LARGEST = 256 << 20
_ATTEMPTS, _PAUSE = 3, 0.5


class Tokens(Protocol):
    """Where the token comes from."""

    def current(self) -> str | None:
        """Return it; None asks without."""

    def renew(self, transport: Transport) -> bool:
        """Get another one for a token that was refused; False when there is none to be had."""


class Anonymous:
    """Shows no token: for logging in."""

    def current(self) -> str | None:
        """Return none."""
        return None

    def renew(self, transport: Transport) -> bool:
        """There is none to be had."""
        return False


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow nowhere."""


class Transport:
    """Speaks to the API at one URL."""

    def __init__(self, url: str, tokens: Tokens | None = None, *, ca_file: str | None = None) -> None:
        """Prepare; nothing is connected yet. Raises ConfigurationError when ``ca_file`` can't be read."""
        self.url = url
        self._tokens: Tokens = tokens or Anonymous()
        handlers: list[urllib.request.BaseHandler] = [_NoRedirection()]
        if url.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=_context(ca_file)))
        self._opener = urllib.request.build_opener(*handlers)

    def anonymous(self) -> Transport:
        """Return one to the same place that shows no token."""
        made = copy.copy(self)
        made._tokens = Anonymous()
        return made

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        timeout: float = _TIMEOUT,
    ) -> Any:
        """Send JSON, return what the answer's envelope holds, or the whole answer where it has none.

        ``repeatable``: whether it may be sent again when nobody knows what became of it; by default, a GET.

        Raises:
            ApiUnavailable: there is no answer, now and after further attempts.
            AgentError: it is refused.
        """
        sent = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        given = {"Content-Type": "application/json"} if sent is not None else {}
        again = method == "GET" if repeatable is None else repeatable
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.lend(
                    method, path, sent, query=query, headers=given | dict(headers or {}), timeout=timeout
                ) as answer:
                    return self.decoded(answer)
            except ApiUnavailable as error:
                if not again or error.unreached or attempt == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE * attempt)
        raise AssertionError("the last attempt returns or raises")

    @contextlib.contextmanager
    def lend(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = _TIMEOUT,
    ) -> Iterator[http.client.HTTPResponse]:
        """Lend the answer, whose body is read by the block; its status is 2xx. Raises as ``ask``."""
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        place = f"{self.url}{path}" + (f"?{urlencode(asked)}" if asked else "")
        try:
            answer = self._open(method, place, body, headers or {}, timeout)
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        try:
            with answer:
                yield answer
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnavailable(f"the answer of the API at {self.url} broke off: {_reason(error)}") from error

    def decoded(self, answer: http.client.HTTPResponse) -> Any:
        """Read an answer's JSON; return what its envelope holds. Raises AgentError."""
        body = answer.read(_LARGEST + 1)
        if answer.length and len(body) <= _LARGEST:
            raise ApiUnavailable(f"the answer of the API at {self.url} broke off")
        return _unwrapped(_decoded(body))

    def _open(
        self, method: str, place: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str], timeout: float
    ) -> http.client.HTTPResponse:
        try:
            return self._send(method, place, body, headers, timeout)
        except urllib.error.HTTPError as error:
            if error.code != 401 or not self._tokens.renew(self):
                raise
            error.close()
        if body is not None and not isinstance(body, bytes):
            body.seek(0)
        return self._send(method, place, body, headers, timeout)

    def _send(
        self, method: str, place: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str], timeout: float
    ) -> http.client.HTTPResponse:
        request = urllib.request.Request(place, body, dict(headers), method=method)  # noqa: S310 - checked: api_url
        request.add_header("User-Agent", f"attune/{__version__}")
        request.add_header("Accept", request.get_header("Accept") or "application/json")
        if body is not None and not isinstance(body, bytes):
            request.add_unredirected_header("Content-Length", str(os.fstat(body.fileno()).st_size))
        token = self._tokens.current()
        if token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        answer: http.client.HTTPResponse = self._opener.open(request, timeout=timeout)
        return answer

    def _away(self, error: Exception) -> ApiUnavailable:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        unreached = isinstance(error, urllib.error.URLError)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ApiUnavailable(
                f"the API at {self.url} shows a certificate that isn't trusted: {cause.verify_message}",
                hint="name its authority: attune login --ca-file FILE URL, or SSL_CERT_FILE",
                unreached=True,
            )
        return ApiUnavailable(f"the API at {self.url} can't be reached: {_reason(cause)}", unreached=unreached)


def path_of(*parts: str | int) -> str:
    """Return the path of the API that ``parts`` are, each quoted whole."""
    return "/" + "/".join(quote(str(part), safe="") for part in ("api", "v1", *parts))


def _refused(error: urllib.error.HTTPError) -> AgentError:
    with error:
        try:
            body = error.read(1 << 20)
        except (OSError, http.client.HTTPException):
            body = b""
    if 300 <= error.code < 400:
        to = str(error.headers.get("Location", ""))[:200]
        return AgentError(f"the API redirects to {to!r}", hint="log in to the URL that it really has")
    return refusal(error.code, body)


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def _decoded(body: bytes) -> Any:
    if len(body) > _LARGEST:
        raise AgentError("the answer of the API is larger than this command reads")
    try:
        return read_json(body)
    except ValueError as error:
        raise AgentError(f"the server that answered is not an Attune API: {error}", hint="is the URL right?") from None


def _unwrapped(found: Any) -> Any:
    return found["data"] if isinstance(found, dict) and "data" in found else found


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the certificate authorities in {ca_file} can't be read: {_reason(error)}") from error
    if ca_file is None and not context.cert_store_stats()["x509_ca"]:
        known = next((path for path in AUTHORITIES if os.path.exists(path)), None)
        if known is not None:
            context.load_verify_locations(known)
    return context
