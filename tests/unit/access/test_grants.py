"""What grants and their constraints allow; whatever isn't known isn't allowed."""

from __future__ import annotations

from typing import Any

import pytest

from agent.access.grants import Grant, allowed, missing, read_grants, standard_grants


def grant(resource: str = "keys", *actions: str, **constraints: Any) -> Grant:
    return Grant(resource, frozenset(actions or ("read",)), constraints)


@pytest.mark.parametrize(
    ("constraints", "facts", "answer"),
    [
        ({}, {}, True),
        ({"refs": ["a.b"]}, {"ref": "a.b"}, True),
        ({"refs": ["a.b"]}, {"ref": "a.c"}, False),
        ({"refs": ["a.b"]}, {}, False),
        ({"pack_refs": ["a"]}, {"pack_ref": "a"}, True),
        ({"owner": "self"}, {"owner": "self"}, True),
        ({"owner": "self"}, {"owner": "any"}, False),
        ({"owner": "any"}, {}, True),
        ({"owner": "none"}, {"owner": "none"}, True),
        ({"encrypted": False}, {"encrypted": True}, False),
        ({"encrypted": False}, {}, False),
        ({"execution_scope": "self"}, {"execution_scope": "self"}, True),
        ({"execution_scope": "self"}, {"execution_scope": "descendants"}, False),
        ({"execution_scope": "descendants"}, {"execution_scope": "self"}, True),
        ({"attributes": {"team": "a"}}, {"attributes": {"team": "a", "x": 1}}, True),
        ({"attributes": {"team": "a"}}, {"attributes": {"team": "b"}}, False),
        ({"nobody_knows": ["x"]}, {"ref": "x"}, False),
        ({"refs": "a.b"}, {"ref": "a.b"}, False),
        ({"refs": ["a.b"], "owner": "self"}, {"ref": "a.b", "owner": "any"}, False),
    ],
)
def test_all_constraints_must_hold(constraints: dict[str, Any], facts: dict[str, Any], answer: bool) -> None:
    assert grant(**constraints).allows("keys", "read", facts) is answer


def test_another_resource_or_action_is_not_allowed() -> None:
    assert not allowed([grant()], "packs", "read")
    assert not allowed([grant()], "keys", "update")


def test_narrowly_only_a_constrained_grant_counts() -> None:
    assert not allowed([grant()], "keys", "read", {"ref": "a"}, narrowly=True)
    assert allowed([grant(refs=["a"])], "keys", "read", {"ref": "a"}, narrowly=True)


@pytest.mark.parametrize(
    "document", [None, {}, "x", [1], [{"resource": 1, "actions": ["read"]}], [{"resource": "keys"}]]
)
def test_what_is_malformed_grants_nothing(document: Any) -> None:
    assert read_grants([document]) == ()


def test_nobody_passes_on_what_he_lacks() -> None:
    held = [grant("keys", "read"), grant("packs", "read", refs=["a"])]
    assert missing(held, [grant("keys", "read", refs=["x"])]) == []
    assert missing(held, [grant("keys", "read", "decrypt")]) == ["keys:decrypt"]
    assert missing(held, [grant("packs", "read")]) == ["packs:read"]


def test_the_standard_set_is_what_the_action_and_its_pack_own() -> None:
    grants = standard_grants(["a.b"], ["a"])
    own = {"owner_type": "action", "owner_ref": "a.b"}
    assert allowed(grants, "keys", "decrypt", own)
    assert allowed(grants, "keys", "decrypt", {"owner_type": "pack", "owner_ref": "a"})
    assert not allowed(grants, "keys", "decrypt", {"owner_type": "system", "owner_ref": None})
    assert not allowed(grants, "keys", "decrypt", {"owner_type": "action", "owner_ref": "a.c"})
