"""Answers that are refusals become errors with the sentence of the server, whatever stands in between."""

from __future__ import annotations

import json

import pytest

from agent.client.refusals import refusal
from agent.errors import AccessDenied, AgentError, ApiUnavailable, Conflict, NotFound, Overloaded, UsageError


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("status", "sent", "kind", "sentence", "code"),
    [
        (404, body(error="there is no worker x", code="NOT_FOUND"), NotFound, "there is no worker x", 1),
        (409, body(error="it lives"), Conflict, "it lives", 1),
        (422, body(error="a: x is required"), UsageError, "a: x is required", 2),
        (400, body(error="the pack has problems", details=["a", "b"]), AgentError, "the pack has problems; a; b", 1),
        (401, body(error={"code": 401, "message": "Token expired"}), AccessDenied, "Token expired", 1),
        (
            403,
            body(error="this needs the permission keys:read"),
            AccessDenied,
            "this needs the permission keys:read",
            1,
        ),
        (429, body(error="too many attempts"), Overloaded, "too many attempts", 1),
        (503, body(error="the database is away; try again"), ApiUnavailable, "the database is away; try again", 5),
        (413, b"the body is larger than 5 bytes", AgentError, "the body is larger than 5 bytes", 1),
        (502, b"<html><h1>Bad Gateway</h1></html>", ApiUnavailable, "it answers with status 502", 5),
        (404, b"", NotFound, "the API does not know this", 1),
        (500, b"\xff\xfe[1, 2", AgentError, "", 1),
        (418, b"[1, 2]", AgentError, "the API answers with status 418", 1),
        (400, body(error=["x"] * 3), AgentError, "x", 1),
        (400, body(error="x" * 100_000), AgentError, "xxx", 1),
        (400, b"[" * 100_000, AgentError, "", 1),
    ],
)
def test_a_refusal_says_what_the_server_says(
    status: int, sent: bytes, kind: type[AgentError], sentence: str, code: int
) -> None:
    found = refusal(status, sent)
    assert type(found) is kind
    assert sentence in str(found)
    assert found.exit_code == code
    assert 0 < len(str(found)) <= 2100


def test_a_hint_comes_with_it_and_who_is_not_known_is_told_to_log_in() -> None:
    assert refusal(404, body(error="no", hint="see: attune worker list")).hint == "see: attune worker list"
    assert refusal(401, b"").hint == "log in: attune login URL"
