"""What a permission set may grant: nothing that nobody would ever look for."""

from __future__ import annotations

from typing import Any

import pytest

from agent.packs.permissions import grant_problem


@pytest.mark.parametrize(
    ("grant", "problem"),
    [
        ({"resource": "packs", "actions": ["read"]}, None),
        ({"resource": "keys", "actions": ["decrypt"], "constraints": {"owner": "self"}}, None),
        ({"resource": "pack", "actions": ["read"]}, "has the resource 'pack'"),
        ({"resource": "packs", "actions": ["write"]}, "has the action 'write'"),
        ({"resource": "packs", "actions": []}, "must list its actions"),
        ({"resource": "packs", "actions": ["read"], "constraints": {"pack": 1}}, "has the constraint 'pack'"),
        ("packs:read", "must be a mapping"),
    ],
)
def test_a_grant_names_what_exists(grant: Any, problem: str | None) -> None:
    found = grant_problem(grant)
    assert found is None if problem is None else found is not None and found.startswith(problem)
