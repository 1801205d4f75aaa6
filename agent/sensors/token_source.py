"""The token that a sensor shows to the server: signed here where the secret is known, else asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from agent.errors import InvalidExecution, ServerError
from agent.execution.secrets.tokens import sensor_token
from agent.logs import add_secret
from agent.reading.json_text import read_json
from agent.transport.address import ServerAddress
from agent.transport.connection import ServerConnection
from agent.transport.worker_token import is_token

_LEAST, _MOST = 3600, 3 * 86400
_PATH = "/auth/internal/sensor-token"

Source = Callable[[str, Sequence[str]], str]
"""Returns a new token of a sensor, by its ref, for these triggers.

Raises InvalidExecution where it may have none, ServerError or DatabaseError where there is none to be had now.
"""


def signed_by(secret: Callable[[], str | None], identity: Callable[[str], int], *, lifetime: int) -> Source:
    """Sign tokens with the secret that the server checks them with; they live for ``lifetime`` seconds.

    ``identity`` returns the account of a sensor.
    """

    def source(ref: str, triggers: Sequence[str]) -> str:
        known = secret()
        if known is None:
            raise ServerError(
                "there is nothing to sign a sensor's token with",
                hint="set security.jwt_secret to that of the server, or agent.bootstrap_token, or start the server",
            )
        token = sensor_token(identity(ref), ref, triggers, lifetime=lifetime, secret=known, now=time.time())
        add_secret(token)
        return token

    return source


def asked_of(address: ServerAddress, bootstrap_token: str, *, lifetime: int) -> Source:
    """Ask the server, and prove with the bootstrap token that one may have a token."""
    headers = {"Content-Type": "application/json", "X-Agent-Token": bootstrap_token}

    def source(ref: str, triggers: Sequence[str]) -> str:
        seconds = min(max(lifetime, _LEAST), _MOST)
        body = json.dumps({"sensor_ref": ref, "trigger_types": list(triggers), "ttl_seconds": seconds}).encode()
        connection = ServerConnection(address, None)
        try:
            reply = connection.request("POST", _PATH, body=body, headers=headers)
        except ServerError as error:
            if error.status == 403:
                raise InvalidExecution(f"the server gives {ref} no token: {error}") from error
            raise
        finally:
            connection.close()
        token = _granted(reply.body)
        add_secret(token)
        return token

    return source


def _granted(body: bytes) -> str:
    try:
        token = read_json(body.decode())["data"]["token"]
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"the server gave no token: {type(error).__name__}") from None
    if not is_token(token):
        raise ServerError("the server gave no token that can be used")
    return str(token)
