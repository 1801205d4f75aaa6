"""The sensor's own token: what the service gave it, exchanged for a new one before it ends."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable

from agent.errors import ServerError
from agent.logs import add_secret
from agent.reading.json_text import read_json

log = logging.getLogger(__name__)

RENEWAL = "/api/v1/auth/sensor-token"
#: The part of its life after which a token is exchanged.
_RENEW_AT = 0.8
#: Seconds between two attempts.
_AGAIN = 30.0

Exchange = Callable[[str], bytes]
"""Shows a token and returns the answer's body. Raises ServerError."""


class SensorToken:
    """For any thread. Where it can't be exchanged it is shown until the server refuses it: then it is ``over``."""

    def __init__(self, token: str, exchange: Exchange, *, clock: Callable[[], float] = time.time) -> None:
        """Begin with ``token``; times are Unix seconds, as tokens tell them."""
        self._exchange = exchange
        self._clock = clock
        self._lock = threading.Lock()
        self._token = token
        self._renew_at = self._when(token)
        self.over = threading.Event()
        add_secret(token)

    def __call__(self) -> str:
        """Return the token to show now."""
        with self._lock:
            if self._clock() >= self._renew_at:
                self._renew()
            return self._token

    def refused(self, token: str) -> None:
        """Note that the server did not take ``token``; a new one is only to be had from the service."""
        with self._lock:
            if token == self._token:
                self.over.set()

    def _renew(self) -> None:
        self._renew_at = self._clock() + _AGAIN
        try:
            token = _token_in(self._exchange(self._token))
        except ServerError as error:
            log.warning("the token could not be renewed: %s", error)
            return
        except (ValueError, KeyError, TypeError) as error:
            log.warning("the token could not be renewed: the server's answer holds none (%s)", type(error).__name__)
            return
        add_secret(token)
        self._token = token
        self._renew_at = self._when(token)
        log.info("the token is renewed")

    def _when(self, token: str) -> float:
        """Return when to renew; never for a token that doesn't say when it ends."""
        try:
            part = token.split(".")[1]
            claims = read_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            issued, ends = float(claims["iat"]), float(claims["exp"])
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            return float("inf")
        return issued + (ends - issued) * _RENEW_AT


def _token_in(body: bytes) -> str:
    token = read_json(body.decode())["data"]["token"]
    if not (isinstance(token, str) and token.isascii() and token.isprintable() and 0 < len(token) < 8192):
        raise ValueError("no token")
    return token
