"""Stored secrets: the format is that of Attune's other services, bit by bit."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SecretUnavailable
from agent.execution.secrets.encryption import decrypt, encrypt, key_hash

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "secrets.json").read_text())
KEY = VECTORS["key"]


@pytest.mark.parametrize("vector", VECTORS["values"], ids=lambda vector: vector["plain"][:20])
def test_values_that_another_implementation_encrypted_are_read(vector: dict[str, str]) -> None:
    assert decrypt(vector["stored"], KEY, VECTORS["key_hash"]) == json.loads(vector["plain"])


def test_another_implementation_reads_what_we_encrypt() -> None:
    value = {"text": "ключ", "n": [1, 2.5, None, True]}
    raw = base64.b64decode(encrypt(value, KEY), validate=True)
    plain = AESGCM(hashlib.sha256(KEY.encode()).digest()).decrypt(raw[:12], raw[12:], None)
    assert plain.decode() == '{"text":"ключ","n":[1,2.5,null,true]}'


def test_the_hash_of_a_key_is_the_hex_of_its_aes_key() -> None:
    assert key_hash(KEY) == VECTORS["key_hash"] == hashlib.sha256(KEY.encode()).hexdigest()
    assert len(key_hash(KEY)) == 64


def test_each_encryption_has_its_own_nonce() -> None:
    assert encrypt("same", KEY) != encrypt("same", KEY)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_value_survives_the_round_trip(value: Any) -> None:
    assert decrypt(encrypt(value, KEY), KEY, key_hash(KEY)) == value


@pytest.mark.parametrize(
    ("value", "key", "expected_hash"),
    [
        (VECTORS["values"][0]["stored"], None, None),
        (VECTORS["values"][0]["stored"], "", None),
        (VECTORS["values"][0]["stored"], "too short", None),
        (VECTORS["values"][0]["stored"], "another key of at least 32 characters!", None),
        (VECTORS["values"][0]["stored"], KEY, key_hash("another key")),
        (VECTORS["values"][0]["stored"][:-8] + "AAAAAAA=", KEY, None),
        ("not base64!", KEY, None),
        ("AAAA", KEY, None),
        ({"an": "object"}, KEY, None),
        (None, KEY, None),
    ],
)
def test_what_cannot_be_decrypted_is_a_secret_that_is_unavailable(
    value: Any, key: str | None, expected_hash: str | None
) -> None:
    with pytest.raises(SecretUnavailable):
        decrypt(value, key, expected_hash)


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_arbitrary_stored_text_never_raises_anything_else(value: str) -> None:
    with pytest.raises(SecretUnavailable):
        decrypt(value, KEY)


def test_the_error_about_text_that_is_no_json_does_not_carry_the_text() -> None:
    nonce = bytes(12)
    stored = base64.b64encode(
        nonce + AESGCM(hashlib.sha256(KEY.encode()).digest()).encrypt(nonce, b"hunter22, not JSON", None)
    ).decode()
    with pytest.raises(SecretUnavailable) as caught:
        decrypt(stored, KEY)
    assert "hunter22" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_without_a_key_nothing_is_encrypted() -> None:
    with pytest.raises(SecretUnavailable, match="encryption_key is not set"):
        encrypt("x", None)


# --- several keys ---

OLD, NEW = "the key of last year, which is long", "the key of this year, which is longer"


def test_what_an_earlier_key_encrypted_is_found_by_its_hash() -> None:
    stored = encrypt({"a": 1}, OLD)
    assert decrypt(stored, (NEW, OLD), key_hash(OLD)) == {"a": 1}
    with pytest.raises(SecretUnavailable, match="another key"):
        decrypt(stored, (NEW,), key_hash(OLD))


def test_without_a_hash_each_key_is_tried() -> None:
    assert decrypt(encrypt("x", OLD), (NEW, OLD)) == "x"
    assert decrypt(encrypt("x", NEW), (NEW, OLD)) == "x"
    with pytest.raises(SecretUnavailable, match="damaged"):
        decrypt(encrypt("x", "a third key that nobody configured"), (NEW, OLD))
    with pytest.raises(SecretUnavailable, match="not set"):
        decrypt(encrypt("x", OLD), ())
