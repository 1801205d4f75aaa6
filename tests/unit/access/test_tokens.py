"""Tokens are believed when this deployment signed them, in the one way it signs, and not for longer than they say."""

from __future__ import annotations

import base64
import json

import pytest

from agent.access.throttle import wait_after
from agent.access.tokens import LEEWAY, Claims, check, mint
from agent.errors import AccessDenied

SECRET = "a secret of the tests that is long enough"
NOW = 1_800_000_000.0
CLAIMS = Claims("7", "ada", "access", NOW + 60)


def test_what_was_minted_is_read_again() -> None:
    found = check(mint(CLAIMS, secret=SECRET, now=NOW), secret=SECRET, now=NOW)
    assert (found.identity, found.login, found.kind) == (7, "ada", "access")


def test_it_is_accepted_a_little_longer_than_it_says() -> None:
    token = mint(CLAIMS, secret=SECRET, now=NOW)
    check(token, secret=SECRET, now=NOW + 60 + LEEWAY - 1)
    with pytest.raises(AccessDenied, match="expired"):
        check(token, secret=SECRET, now=NOW + 60 + LEEWAY + 1)


def unsigned(header: dict[str, str], claims: dict[str, object], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        unsigned({"alg": "none"}, {"sub": "1", "exp": NOW + 60, "login": "x"}),
        unsigned({"alg": "HS256"}, {"sub": "1", "exp": NOW + 60, "login": "x"}, b"wrong"),
        mint(CLAIMS, secret="another secret, just as long as ours", now=NOW),
        mint(Claims("7", "ada", "root", NOW + 60), secret=SECRET, now=NOW),
    ],
)
def test_anything_else_is_not_believed(token: str) -> None:
    with pytest.raises(AccessDenied, match="Invalid"):
        check(token, secret=SECRET, now=NOW)


def test_the_first_failures_cost_nothing_and_an_account_is_never_locked() -> None:
    assert wait_after("account", 4, 0.0) == 0.0
    assert wait_after("account", 5, 0.0) == 1.0
    assert wait_after("account", 1000, 0.0) == 5.0
    assert wait_after("account", 1000, 6.0) == 0.0
    assert wait_after("address", 1000, 0.0) == 60.0
