"""The token that a worker shows to the server: signed by itself where it has the secret, else asked for."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable

from agent.errors import ServerError
from agent.execution.secrets.tokens import worker_token
from agent.logs import add_secret
from agent.reading.json_text import read_json
from agent.transport.address import ServerAddress
from agent.transport.connection import ServerConnection

log = logging.getLogger(__name__)

#: The part of its life after which a token is replaced.
_RENEW_AT = 0.8
#: Seconds between two attempts to replace one that is still good.
_AGAIN = 30.0
_LONGEST_LIFE = 30 * 86400

Source = Callable[[], tuple[str, float]]
"""Returns a new token, and for how many seconds it is good. Raises ServerError."""


class WorkerToken:
    """For any thread: whoever needs a new one first gets it for all."""

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask ``source`` when a token is needed."""
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = self._good_until = 0.0

    def __call__(self) -> str:
        """Return the token, renewed before it ends. Raises ServerError where there is none to be had."""
        with self._lock:
            now = self._clock()
            if self._token is None or now >= self._renew_at:
                self._renew(now)
            assert self._token is not None, "renewed, or an error"
            return self._token

    def refused(self, token: str) -> None:
        """Note that the server did not take ``token``: its key may have changed."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _renew(self, now: float) -> None:
        try:
            token, seconds = self._source()
        except ServerError as error:
            if self._token is None or now >= self._good_until:
                raise
            log.warning("the worker's token could not be renewed yet: %s", error)
            self._renew_at = now + _AGAIN
            return
        self._token = token
        self._renew_at, self._good_until = now + _RENEW_AT * seconds, now + seconds


def signed_by(secret: Callable[[], str | None], worker_name: str) -> Source:
    """Sign tokens with the secret that the server checks them with."""

    def source() -> tuple[str, float]:
        known = secret()
        if known is None:
            raise ServerError(
                "this worker has nothing to show the server",
                hint="set agent.bootstrap_token (ATTUNE__AGENT__BOOTSTRAP_TOKEN) to that of the server",
            )
        return worker_token(worker_name, secret=known, now=time.time())

    return source


def asked_of(address: ServerAddress, bootstrap_token: str, worker_name: str) -> Source:
    """Ask the server, and prove with the bootstrap token that one may have a token."""
    body = json.dumps({"worker_name": worker_name[:255]}).encode()
    headers = {"Content-Type": "application/json", "X-Agent-Token": bootstrap_token}

    def source() -> tuple[str, float]:
        connection = ServerConnection(address, None)
        try:
            reply = connection.request("POST", "/auth/worker-token", body=body, headers=headers)
        finally:
            connection.close()
        token, seconds = _granted(reply.body)
        add_secret(token)
        return token, seconds

    return source


def is_token(value: object) -> bool:
    """Whether a value that somebody gave can be shown as a token: it becomes part of a header."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value


def _granted(body: bytes) -> tuple[str, float]:
    try:
        data = read_json(body.decode())["data"]
        token, seconds = data["token"], data["expires_in"]
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"the server gave no token: {type(error).__name__}") from None
    if not is_token(token) or isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ServerError("the server gave no token that can be used")
    return token, min(float(seconds), _LONGEST_LIFE)
