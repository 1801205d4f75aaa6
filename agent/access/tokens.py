"""The tokens that clients show: minted and checked, HS256 as Attune's other services do."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from jwt import InvalidTokenError

from agent.errors import AccessDenied
from agent.execution.secrets.tokens import signer

LEEWAY = 60
"""Seconds that a token is accepted beyond its end: clocks differ."""

KINDS = ("access", "refresh", "sensor", "execution", "worker")
INTEGRATION_PREFIX = "attune_it_"


@dataclass(frozen=True)
class Claims:
    """What a token says and its signature vouches for; ``kind`` is one of ``KINDS``."""

    subject: str
    login: str
    kind: str
    expires: float
    scope: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> int | None:
        """The identity that the token was made for."""
        return (
            int(self.subject) if self.subject.isascii() and self.subject.isdigit() and len(self.subject) < 19 else None
        )


def mint(claims: Claims, *, secret: str, now: float) -> str:
    """Return the signed token."""
    document: dict[str, Any] = {
        "sub": claims.subject,
        "login": claims.login,
        "iat": int(now),
        "exp": int(claims.expires),
        "token_type": claims.kind,
        "jti": secrets.token_hex(16),
    }
    if claims.scope is not None:
        document["scope"] = claims.scope
    if claims.metadata:
        document["metadata"] = dict(claims.metadata)
    payload = json.dumps(document, separators=(",", ":")).encode()
    token: str = signer().encode(payload, secret, algorithm="HS256", sort_headers=False)
    return token


def check(token: str, *, secret: str, now: float) -> Claims:
    """Return what the token says.

    Raises:
        AccessDenied: it is malformed, signed with another key or in another way, or too old.
    """
    try:
        document = json.loads(signer().decode(token, secret, algorithms=["HS256"]))
    except (InvalidTokenError, ValueError, RecursionError):
        raise AccessDenied("Invalid authentication token") from None
    found = _claims(document)
    if found.expires + LEEWAY < now:
        raise AccessDenied("Authentication token expired")
    return found


def hashed(token: str) -> str:
    """Return what is stored of a token that is looked up: hex SHA-256."""
    return sha256(token.encode()).hexdigest()


def _claims(document: Any) -> Claims:
    invalid = AccessDenied("Invalid authentication token")
    if not isinstance(document, dict):
        raise invalid
    kind = document.get("token_type", "access")
    subject, login, expires = document.get("sub"), document.get("login", ""), document.get("exp")
    scope, metadata = document.get("scope"), document.get("metadata")
    if not isinstance(subject, str) or not isinstance(login, str) or kind not in KINDS:
        raise invalid
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise invalid
    return Claims(
        subject,
        login,
        kind,
        float(expires),
        scope if isinstance(scope, str) else None,
        metadata if isinstance(metadata, dict) else {},
    )
