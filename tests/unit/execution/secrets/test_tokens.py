"""API tokens: claims, lifetimes and the very bytes."""

from __future__ import annotations

import base64
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest

from agent.execution.model import Execution
from agent.execution.secrets.tokens import database_time, execution_token, weakness

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "tokens.json").read_text())[0]
SECRET = VECTOR["secret"]
NOW = 1775034902


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})


def execution(**changes: Any) -> Execution:
    values: dict[str, Any] = {
        "id": 901,
        "action": 55,
        "action_ref": "ops.rotate",
        "executor": 17,
        "permission_set_refs": ["standard", "ops.admin"],
        "workflow_task": {"task_name": "rotate"},
        "parent_action_ref": "flow.nightly",
    }
    return Execution(**values | changes)


def test_an_execution_token_is_the_vector_byte_for_byte() -> None:
    assert execution_token(execution(), timeout=300, secret=SECRET, now=NOW + 0.7) == VECTOR["token"]


def test_without_an_executor_the_subject_is_identity_one() -> None:
    assert claims_of(execution_token(execution(executor=None), timeout=300, secret=SECRET, now=NOW))["sub"] == "1"


def test_an_execution_token_outlives_the_timeout_by_a_minute() -> None:
    claims = claims_of(execution_token(execution(), timeout=12.5, secret=SECRET, now=NOW))
    assert claims["exp"] - claims["iat"] == 72


def test_the_time_is_the_databases_however_the_clock_of_this_machine_is_set() -> None:
    started = datetime(2001, 1, 1, tzinfo=UTC)
    found = database_time(execution(started_at=started), time.monotonic() - 90.0)
    assert 90.0 <= found - started.timestamp() < 100.0
    assert database_time(execution(), time.monotonic()) > NOW


def test_without_a_timeout_the_token_lives_for_a_day() -> None:
    claims = claims_of(execution_token(execution(), timeout=None, secret=SECRET, now=NOW))
    assert claims["exp"] - claims["iat"] == 86400


@pytest.mark.parametrize(
    ("changes", "actions", "packs"),
    [
        ({"workflow_task": None}, ["ops.rotate"], ["ops"]),
        ({"parent_action_ref": None}, ["ops.rotate"], ["ops"]),
        ({"parent_action_ref": "ops.rotate"}, ["ops.rotate"], ["ops"]),
        ({"parent_action_ref": "ops.all"}, ["ops.all", "ops.rotate"], ["ops", "ops"]),
    ],
)
def test_the_parent_action_is_accessible_only_to_workflow_tasks(
    changes: dict[str, Any], actions: list[str], packs: list[str]
) -> None:
    metadata = claims_of(execution_token(execution(**changes), timeout=1, secret=SECRET, now=NOW))["metadata"]
    assert metadata["standard_access_action_refs"] == actions
    assert metadata["standard_access_pack_refs"] == packs


def test_a_short_secret_signs_like_any_other_and_is_warned_of_once() -> None:
    token = execution_token(execution(), timeout=300, secret="short", now=NOW)  # warnings are errors in tests
    signed, _, signature = token.rpartition(".")
    expected = hmac.digest(b"short", signed.encode(), "sha256")
    assert base64.urlsafe_b64decode(signature + "=") == expected
    assert "5 bytes" in (weakness("short") or "")
    assert weakness("x" * 32) is None
    assert weakness(None) is None
