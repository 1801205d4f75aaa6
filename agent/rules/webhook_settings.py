"""What is asked of the requests to one webhook: how they are signed, from where, how many and how large (pure)."""

from __future__ import annotations

import base64
import ipaddress
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import SecretUnavailable
from agent.execution.secrets.encryption import decrypt, encrypt, key_hash
from agent.rules.signatures import ALGORITHMS, SCHEMES

LARGEST_KB = 1024
REQUESTS, PER_SECONDS = 300, 60
"""Requests that one address may send in so many seconds, where nothing else is set."""

GRACE = 86_400
"""Seconds that a replaced secret goes on to be accepted."""


@dataclass(frozen=True)
class WebhookSettings:
    """The column ``webhook_config``, checked; ``problem`` says why nothing can be accepted, if so."""

    scheme: str
    algorithm: str = "sha256"
    secrets: tuple[bytes, ...] = ()
    token_header: str = "x-webhook-token"  # noqa: S105 - the name of a header
    most_bytes: int = LARGEST_KB * 1024
    networks: tuple[str, ...] | None = None
    requests: int = REQUESTS
    per_seconds: int = PER_SECONDS
    once: bool = True
    problem: str | None = None

    def allows(self, address: str) -> bool:
        """Whether requests may come from an address."""
        if self.networks is None:
            return True
        try:
            found = ipaddress.ip_address(address)
            return any(found in ipaddress.ip_network(network, strict=False) for network in self.networks)
        except ValueError:
            return False


def read_settings(config: Any, keys: tuple[str, ...], *, now: float) -> WebhookSettings:
    """Read the column. Other services' form of it, with a readable secret, is understood too.

    What can't be understood refuses everything: nothing is accepted by accident.

    Promise: webhooks verify or refuse.
    """
    document: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
    scheme = document.get("scheme")
    own = _mapping(document, "hmac")
    algorithm = document.get("algorithm") or own.get("algorithm") or "sha256"
    found: list[bytes] = []
    problem = None
    if scheme is None:
        scheme = "hmac" if own.get("enabled") is True else None
        if isinstance(own.get("secret"), str) and own["secret"]:
            found.append(own["secret"].encode())
    kept = document.get("secrets")
    for entry in kept if isinstance(kept, list) else ():
        if not isinstance(entry, Mapping) or not _valid_until(entry, now):
            continue
        try:
            found.append(str(decrypt(entry.get("value"), keys, entry.get("key_hash"))).encode())
        except SecretUnavailable as error:
            problem = f"its secret can't be read: {error}"
    if scheme not in SCHEMES:
        problem = "it is not set how requests are verified"
    elif algorithm not in ALGORITHMS:
        problem = "its algorithm is unknown"
    elif scheme != "none" and not found:
        problem = problem or "it has no secret"
    whitelist, rate = _mapping(document, "ip_whitelist"), _mapping(document, "rate_limit")
    networks = None
    if whitelist.get("enabled") is True:
        listed = whitelist.get("ips")
        networks = tuple(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()
    limited = rate.get("enabled", True) is True
    return WebhookSettings(
        scheme if scheme in SCHEMES else "hmac",
        algorithm if algorithm in ALGORITHMS else "sha256",
        tuple(found),
        str(document.get("token_header") or "x-webhook-token").lower(),
        _number(document, "payload_size_limit_kb", LARGEST_KB) * 1024,
        networks,
        _number(rate, "requests", REQUESTS) if limited else 2**31,
        _number(rate, "window_seconds", PER_SECONDS),
        document.get("once", True) is not False,
        problem,
    )


def new_secret() -> str:
    """Make a secret in the form that Standard Webhooks has; the other schemes take it as it is."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def with_secret(config: Mapping[str, Any], secret: str, key: str, *, now: float | None = None) -> dict[str, Any]:
    """Return the column with another secret, encrypted; the last one goes on to be accepted for a while."""
    moment = time.time() if now is None else now
    own = _mapping(config, "hmac")
    kept = config.get("secrets")
    entries: list[dict[str, Any]] = [dict(one) for one in kept] if isinstance(kept, list) else []
    if isinstance(own.get("secret"), str) and own["secret"]:
        entries.append({"value": encrypt(own["secret"], key), "key_hash": key_hash(key)})
    for entry in entries:
        entry.setdefault("until", moment + GRACE)
    entries = [entry for entry in entries if _valid_until(entry, moment)][-1:]
    added = {"value": encrypt(secret, key), "key_hash": key_hash(key)}
    return {**{name: value for name, value in config.items() if name != "hmac"}, "secrets": [added, *entries]}


def _valid_until(entry: Mapping[str, Any], now: float) -> bool:
    until = entry.get("until")
    return until is None or (isinstance(until, int | float) and not isinstance(until, bool) and until > now)


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(document: Mapping[str, Any], name: str, default: int) -> int:
    found = document.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 < found <= 1_000_000 else default
