"""Whether a webhook's request was made by somebody who knows the secret, and made now (pure).

Everything is compared as bytes: a header may hold anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SCHEMES = ("hmac", "standard", "stripe", "token", "none")
ALGORITHMS = ("sha256", "sha512", "sha1")
WINDOW = 300.0
"""Seconds that a signed time may be away from now, either way."""

_MOST_SIGNATURES = 10
_TIME = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True)
class Verified:
    """``delivery`` tells deliveries apart that the sender repeats, empty where nothing signed does."""

    delivery: str


class Unverified(Exception):
    """The request is refused; the message says why, to the log only."""


def verify(
    scheme: str,
    secrets: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    algorithm: str = "sha256",
    token_header: str = "x-webhook-token",  # noqa: S107 - the name of a header
) -> Verified:
    """Check a request by one of ``SCHEMES``: any of the secrets will do. Names of ``headers`` are in small letters.

    Raises:
        Unverified: there is no signature, it is none of these secrets', or too old.
    """
    if scheme == "none":
        return Verified("")
    if not secrets:
        raise Unverified("no secret is set")
    if scheme == "hmac":
        return _hmac(secrets, headers, body, algorithm)
    if scheme == "standard":
        return _standard(secrets, headers, body, now)
    if scheme == "stripe":
        return _stripe(secrets, headers, body, now)
    if scheme == "token":
        shown = _header(headers, token_header)
        _require(any(hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), one) for one in secrets))
        return Verified("")
    raise Unverified(f"there is no scheme {scheme!r:.40}")


def _hmac(secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, algorithm: str) -> Verified:
    if algorithm not in ALGORITHMS:
        raise Unverified(f"there is no algorithm {algorithm!r:.40}")
    shown = headers.get("x-webhook-signature") or _header(headers, "x-hub-signature-256")
    name, equals, digest = shown.partition("=")
    if not equals:
        name, digest = algorithm, shown
    if name.strip().lower() != algorithm:
        raise Unverified("the signature is made with another algorithm")
    found = digest.strip().lower().encode("utf-8", "surrogatepass")
    _require(any(hmac.compare_digest(found, hmac.new(one, body, algorithm).hexdigest().encode()) for one in secrets))
    return Verified("body:" + hashlib.sha256(body).hexdigest())


def _standard(secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> Verified:
    """Standard Webhooks: base64 of the HMAC over id, time and body; several signatures, each ``v1,...``."""
    identifier, moment = _header(headers, "webhook-id"), _header(headers, "webhook-timestamp")
    _require_recent(moment, now)
    signed = f"{identifier}.{moment}.".encode("utf-8", "surrogatepass") + body
    expected = [base64.b64encode(hmac.new(_standard_key(one), signed, "sha256").digest()) for one in secrets]
    for entry in _header(headers, "webhook-signature").split(" ")[:_MOST_SIGNATURES]:
        version, comma, shown = entry.partition(",")
        if comma and version == "v1":
            found = shown.encode("utf-8", "surrogatepass")
            if any(hmac.compare_digest(found, one) for one in expected):
                return Verified("id:" + hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest())
    raise Unverified("no signature is right")


def _standard_key(secret: bytes) -> bytes:
    if not secret.startswith(b"whsec_"):
        return secret
    try:
        return base64.b64decode(secret.removeprefix(b"whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return secret


def _stripe(secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> Verified:
    """Stripe's: ``t=...,v1=...,v1=...`` over time and body, in hex."""
    parts = [part.strip().partition("=") for part in _header(headers, "stripe-signature").split(",")]
    moment = next((value for name, _, value in parts if name == "t"), "")
    _require_recent(moment, now)
    signed = moment.encode() + b"." + body
    expected = [hmac.new(one, signed, "sha256").hexdigest().encode() for one in secrets]
    shown = [value.encode("utf-8", "surrogatepass") for name, _, value in parts if name == "v1"][:_MOST_SIGNATURES]
    _require(any(hmac.compare_digest(one, right) for one in shown for right in expected))
    return Verified("body:" + hashlib.sha256(signed).hexdigest())


def _require(right: bool) -> None:
    if not right:
        raise Unverified("the signature is wrong")


def _require_recent(moment: str, now: float) -> None:
    if not _TIME.fullmatch(moment):
        raise Unverified("the time is missing or malformed")
    if abs(now - int(moment)) > WINDOW:
        raise Unverified(f"the time is more than {WINDOW:g} s away")


def _header(headers: Mapping[str, str], name: str) -> str:
    found = headers.get(name)
    if not found:
        raise Unverified(f"the header {name} is missing")
    return found
