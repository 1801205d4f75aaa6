"""Secrets: which ones an execution gets, and that it fails rather than runs without one that it needs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SecretUnavailable
from agent.execution.model import Action, CutOut, StoredKey
from agent.execution.secrets.encryption import encrypt, key_hash
from agent.execution.secrets.redaction import MARKER, path_of, pointer, redact_result, spliced, value_at
from agent.execution.secrets.resolving import resolve_secrets

KEY = "a key of at least thirty-two characters"
OTHER = "another key of at least thirty-two chars"


def action(param_schema: Any = None) -> Action:
    return Action(55, "ops.rotate", 12, "ops", "rotate.sh", param_schema=param_schema)


def stored(owner_type: str, name: str, value: Any, *, key: str | None = KEY, **changes: Any) -> StoredKey:
    values: dict[str, Any] = {
        "owner_type": owner_type,
        "ref": f"{owner_type}.{name}",
        "name": name,
        "encrypted": key is not None,
        "encryption_key_hash": None if key is None else key_hash(key),
        "value": value if key is None else encrypt(value, key),
        "owner_pack": 12 if owner_type == "pack" else None,
        "owner_action": 55 if owner_type == "action" else None,
    }
    return StoredKey(**values | changes)


def cut_out(path: str, value: Any, key: str = KEY) -> CutOut:
    return CutOut(path, encrypt(value, key), key_hash(key))


def test_without_secrets_the_configuration_passes_as_the_same_object() -> None:
    config = {"a": 1}
    resolved = resolve_secrets(action({"a": {"type": "integer"}}), config, (), (), None)
    assert resolved.config is config
    assert not resolved.parameters
    assert resolved.values == ()


def test_the_action_overrides_its_pack_which_overrides_the_system() -> None:
    keys = [
        stored("action", "a", "of the action"),
        stored("pack", "a", "of the pack"),
        stored("pack", "b", "of the pack"),
        stored("system", "a", "of the system"),
        stored("system", "b", "of the system"),
        stored("system", "c", "of the system"),
    ]
    resolved = resolve_secrets(action(), {}, keys, (), KEY)
    assert resolved.parameters == {"a": "of the action", "b": "of the pack", "c": "of the system"}


@pytest.mark.parametrize(
    "key",
    [
        stored("pack", "a", "x", owner_pack=13),
        stored("action", "a", "x", owner_action=56),
        stored("identity", "a", "x"),
        stored("sensor", "a", "x"),
    ],
)
def test_keys_of_others_are_not_handed_over(key: StoredKey) -> None:
    assert resolve_secrets(action(), {}, [key], (), KEY).parameters == {}


def test_keys_that_are_not_encrypted_are_used_as_they_are_and_not_masked() -> None:
    resolved = resolve_secrets(action(), {}, [stored("system", "region", {"name": "eu-1"}, key=None)], (), None)
    assert resolved.parameters == {"region": {"name": "eu-1"}}
    assert resolved.values == ()


@pytest.mark.parametrize("owner_type", ["pack", "action"])
@pytest.mark.parametrize("key", [None, OTHER])
def test_a_key_of_the_action_or_its_pack_that_cannot_be_decrypted_fails_the_execution(
    owner_type: str, key: str | None
) -> None:
    with pytest.raises(SecretUnavailable, match=f"'{owner_type}.token'") as caught:
        resolve_secrets(action(), {}, [stored(owner_type, "token", "hunter22")], (), key)
    assert "hunter22" not in str(caught.value)


def test_a_system_wide_key_that_nobody_asked_for_is_left_out_with_a_warning() -> None:
    keys = [stored("system", "stale", "hunter22", key=OTHER), stored("system", "good", "value")]
    resolved = resolve_secrets(action({"host": {}}), {}, keys, (), KEY)
    assert resolved.parameters == {"good": "value"}
    [warning] = resolved.warnings
    assert "'system.stale'" in warning
    assert "hunter22" not in warning


@pytest.mark.parametrize("schema", [{"stale": {}}, {"type": "object", "properties": {"stale": {}}}])
def test_a_system_wide_key_that_the_schema_names_fails_the_execution(schema: Any) -> None:
    with pytest.raises(SecretUnavailable, match=r"system\.stale"):
        resolve_secrets(action(schema), {}, [stored("system", "stale", "x", key=OTHER)], (), KEY)


def test_a_key_that_is_overridden_need_not_be_decrypted() -> None:
    keys = [
        stored("system", "a", "old", key=OTHER),
        stored("pack", "a", "old", key=OTHER),
        stored("action", "a", "new"),
    ]
    resolved = resolve_secrets(action({"a": {}}), {}, keys, (), KEY)
    assert resolved.parameters == {"a": "new"}
    assert resolved.warnings == ()


def test_what_was_cut_out_of_the_parameters_is_restored() -> None:
    config = {"db": {"password": dict(MARKER), "host": "h"}, "list": [1, dict(MARKER)], "a/b": dict(MARKER)}
    cuts = [
        cut_out("/list/1", "second one"),
        cut_out("/db/password", "hunter22"),
        cut_out("/a~1b", 4711),
        cut_out("/new/deep", {"x": "made"}),
        cut_out("/list/9", "out of range"),
    ]
    resolved = resolve_secrets(action(), config, (), cuts, KEY)
    assert resolved.config == {
        "db": {"password": "hunter22", "host": "h"},
        "list": [1, "second one"],
        "a/b": 4711,
        "new": {"deep": {"x": "made"}},
    }
    assert set(resolved.values) == {"second one", "hunter22", "4711", "made", "out of range"}
    assert config["db"]["password"] == MARKER


@pytest.mark.parametrize(
    "cut", [cut_out("/p", "hunter22", OTHER), CutOut("/p", {"not": "text"}, None), CutOut("/p", "AAAA", None)]
)
def test_a_parameter_that_cannot_be_restored_fails_the_execution_and_is_named(cut: CutOut) -> None:
    with pytest.raises(SecretUnavailable, match="'/p'"):
        resolve_secrets(action(), {"p": dict(MARKER)}, (), [cut], KEY)


def test_a_declared_secret_that_is_redacted_and_not_stored_fails_the_execution() -> None:
    schema = {"password": {"type": "string", "secret": True}}
    with pytest.raises(SecretUnavailable, match="'/password'"):
        resolve_secrets(action(schema), {"password": dict(MARKER)}, (), (), KEY)
    overridden = resolve_secrets(
        action(schema), {"password": dict(MARKER)}, [stored("pack", "password", "s3cret")], (), KEY
    )
    assert overridden.parameters == {"password": "s3cret"}


def test_a_declared_secret_in_plain_configuration_is_masked() -> None:
    schema = {"db": {"type": "object", "properties": {"password": {"secret": True}, "host": {}}}}
    resolved = resolve_secrets(action(schema), {"db": {"password": "hunter22", "host": "h"}}, (), (), None)
    assert resolved.values == ("hunter22",)
    assert resolve_secrets(action(schema), {"db": None}, (), (), None).values == ()


def test_every_text_inside_a_secret_is_masked() -> None:
    value = {"user": "joe", "more": ["hunter22", {"pin": 4711, "ok": True, "none": None}]}
    resolved = resolve_secrets(action(), {}, [stored("action", "login", value)], (), KEY)
    assert resolved.values == ("joe", "hunter22", "4711")


OUT = {
    "token": {"type": "string", "secret": True},
    "auth": {"type": "object", "properties": {"a/b": {"secret": True}, "user": {"type": "string"}}},
    "list": {"type": "array", "items": {"secret": True}},
}


@pytest.mark.parametrize("schema", [OUT, {"type": "object", "properties": OUT}])
def test_declared_secrets_of_a_result_are_cut_out_with_their_paths(schema: Any) -> None:
    data = {"token": "t", "auth": {"a/b": [1], "user": "u"}, "list": ["x"], "other": 1}
    redacted, taken = redact_result(data, schema)
    assert redacted == {"token": MARKER, "auth": {"a/b": MARKER, "user": "u"}, "list": ["x"], "other": 1}
    assert [(value.json_path, value.source_ref, value.original) for value in taken] == [
        ("/data/token", "/token", "t"),
        ("/data/auth/a~1b", "/auth/a~1b", [1]),
    ]
    assert data["token"] == "t"


@pytest.mark.parametrize("data", [None, "text", [1], {}, {"auth": "no object"}, {"token": dict(MARKER)}])
def test_results_without_declared_secrets_pass_as_the_same_object(data: Any) -> None:
    redacted, taken = redact_result(data, OUT)
    assert redacted is data
    assert taken == []


@pytest.mark.parametrize("schema", [None, [], "x", {"a": "b"}, {"a": {"secret": "yes"}}])
def test_only_secret_true_is_a_declaration(schema: Any) -> None:
    assert redact_result({"a": 1}, schema) == ({"a": 1}, [])


paths = st.lists(st.text(st.sampled_from("ab~/0 é")), min_size=1, max_size=4).map(tuple)


@given(paths)
def test_a_pointer_leads_back_to_its_path(path: tuple[str, ...]) -> None:
    assert path_of(pointer(path)) == path


@given(paths, st.integers())
def test_what_is_spliced_in_is_found_there(path: tuple[str, ...], value: int) -> None:
    assert value_at(spliced({}, path, value), path) == (True, value)


def test_a_path_through_a_scalar_changes_nothing() -> None:
    assert spliced({"a": "text"}, ("a", "b"), 1) == {"a": "text"}
    assert spliced({"a": [1]}, ("a", "x"), 1) == {"a": [1]}


def test_the_empty_pointer_is_the_whole_document() -> None:
    assert spliced({"a": 1}, path_of(""), "all") == "all"
