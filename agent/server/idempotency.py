"""The header ``Idempotency-Key``: a request that is sent again is known by it."""

from __future__ import annotations

from agent.server.call import Call
from agent.server.problems import Problem

_LONGEST = 255


def idempotency_key(call: Call) -> str | None:
    """Return the key of a request, None where it has none. Raises Problem for one that can't be kept."""
    key = call.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= _LONGEST and key.isprintable()):
        raise Problem.bad(f"an Idempotency-Key has 1 to {_LONGEST} printable characters")
    return key
