"""Mint the JSON Web Tokens that actions, sensors and the worker show to Attune's API (HS256, RFC 7519)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from agent.execution.model import Execution

#: Bytes that a key of HS256 needs for full strength (RFC 7518, section 3.2).
_STRONG_KEY = 32

#: Seconds that a token outlives the execution it was made for.
_GRACE = 60

#: Seconds that a worker's token lives, and that of an execution without a time limit.
_DAY = 86400


def execution_token(execution: Execution, *, timeout: float | None, secret: str, now: float) -> str:
    """Return the API token of one execution; give it out only when ``permission_set_refs`` is not empty.

    ``timeout`` is the execution's effective limit in seconds (None: no limit, the token then lives for a day);
    ``now`` is Unix time.
    """
    actions = {execution.action_ref}
    if execution.workflow_task is not None and execution.parent_action_ref:
        actions.add(execution.parent_action_ref)
    allowed = sorted(actions)
    metadata = {
        "execution_id": execution.id,
        "action_ref": execution.action_ref,
        "permission_set_refs": list(execution.permission_set_refs),
        "standard_access_action_refs": allowed,
        "standard_access_pack_refs": [ref.partition(".")[0] for ref in allowed],
    }
    subject = 1 if execution.executor is None else execution.executor
    lifetime = _DAY if timeout is None else int(timeout) + _GRACE
    return _token(subject, f"execution:{execution.id}", ("execution", "execution"), metadata, (now, lifetime), secret)


def database_time(execution: Execution, begun: float) -> float:
    """Return Unix time by the database, which wrote when the execution started, just before ``begun`` (monotonic).

    Whoever checks a token may tell the time by another clock than this machine does.
    """
    started = execution.started_at
    return time.time() if started is None else started.timestamp() + (time.monotonic() - begun)


def worker_token(name: str, *, secret: str, now: float) -> tuple[str, float]:
    """Return a token of this worker for the server, and for how many seconds it is good."""
    kind = ("worker", "internal_files")
    return _token(1, f"worker:{name}", kind, {"worker_name": name}, (now, _DAY), secret), float(_DAY)


def sensor_token(
    identity: int, sensor_ref: str, triggers: Sequence[str], *, lifetime: int, secret: str, now: float
) -> str:
    """Return the token of a sensor for ``lifetime`` seconds: it sends events of these triggers."""
    metadata = {"trigger_types": list(triggers)}
    return _token(identity, sensor_ref, ("sensor", "sensor"), metadata, (now, lifetime), secret)


def weakness(secret: str | None) -> str | None:
    """Return what is wrong with ``security.jwt_secret``; the other services accept it all the same."""
    if not secret or (size := len(secret.encode())) >= _STRONG_KEY:
        return None
    return f"security.jwt_secret has {size} bytes: HS256 is only as strong as its key, which should have {_STRONG_KEY}"


def _token(
    subject: int,
    login: str,
    kind: tuple[str, str],
    metadata: dict[str, Any],
    life: tuple[float, int],
    secret: str,
) -> str:
    issued = int(life[0])
    claims = {
        "sub": str(subject),
        "login": login,
        "iat": issued,
        "exp": issued + life[1],
        "token_type": kind[0],
        "scope": kind[1],
        "metadata": metadata,
    }
    payload = json.dumps(claims, separators=(",", ":")).encode()
    # Unsorted, the header reads {"typ","alg"} as the other services write it.
    token: str = signer().encode(payload, secret, algorithm="HS256", sort_headers=False)
    return token


@cache
def signer() -> Any:
    """Return a signer that takes a short key without a warning for every token: ``weakness`` warns once."""
    from jwt import PyJWS
    from jwt.algorithms import HMACAlgorithm

    class AnyLength(HMACAlgorithm):
        def check_key_length(self, key: bytes) -> None:
            return None

    signer = PyJWS()
    signer.unregister_algorithm("HS256")
    signer.register_algorithm("HS256", AnyLength(HMACAlgorithm.SHA256))
    return signer
