"""Encrypt and decrypt stored secrets: AES-256-GCM in the format that Attune's other services write (pure).

A stored value is Base64 of ``nonce (12 bytes) + ciphertext + tag (16 bytes)`` without associated data; the plain text
is compact JSON; the AES key is SHA-256 of the configured key text, and the hex of that digest is the key's hash.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from agent.errors import SecretUnavailable
from agent.reading.json_text import read_json

_NONCE = 12
_TAG = 16

#: Fewest bytes of a configured key.
MINIMUM_KEY = 32


def key_hash(key: str) -> str:
    """Return what is stored beside an encrypted value to say which key encrypted it: hex SHA-256 of the key's text."""
    return hashlib.sha256(key.encode()).hexdigest()


def decrypt(value: Any, keys: str | Sequence[str] | None, expected_hash: str | None = None) -> Any:
    """Return the JSON value that ``value`` hides.

    ``keys`` is one key or several, the present one first: the one whose hash is stored beside the value is used, each
    in turn where none is stored.

    Raises:
        SecretUnavailable: no key, another key, a damaged or foreign value. The message never holds secret text.
    """
    candidates = [_aes_key(keys)] if isinstance(keys, str) or not keys else [_aes_key(key) for key in keys]
    if expected_hash is not None:
        told = expected_hash.lower().encode()
        candidates = [key for key in candidates if hmac.compare_digest(told, key.hex().encode())]
        if not candidates:
            raise SecretUnavailable("it was encrypted with another key than security.encryption_key")
    encrypted = _decoded(value)
    plain = next((plain for key in candidates if (plain := _opened(encrypted, key)) is not None), None)
    if plain is None:
        raise SecretUnavailable("it is damaged, or was encrypted with another key")
    try:
        return read_json(plain)
    except ValueError:
        # The decoder's error must not stay in the chain: it may tell of the plain text.
        raise SecretUnavailable("its decrypted value is not JSON") from None


def _opened(encrypted: bytes, aes_key: bytes) -> bytes | None:
    from Crypto.Cipher import AES

    cipher = AES.new(aes_key, AES.MODE_GCM, nonce=encrypted[:_NONCE], mac_len=_TAG)
    try:
        return cipher.decrypt_and_verify(encrypted[_NONCE:-_TAG], encrypted[-_TAG:])
    except ValueError:
        return None


def encrypt(value: Any, key: str | None) -> str:
    """Return ``value`` (anything JSON can say) in the stored form, under a fresh random nonce.

    Raises:
        SecretUnavailable: there is no usable key.
    """
    aes_key = _aes_key(key)
    from Crypto.Cipher import AES
    from Crypto.Random import get_random_bytes

    nonce = get_random_bytes(_NONCE)
    cipher = AES.new(aes_key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG)
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    encrypted, tag = cipher.encrypt_and_digest(plain.encode("utf-8", "replace"))
    return base64.b64encode(nonce + encrypted + tag).decode("ascii")


def _aes_key(key: object) -> bytes:
    if not key or not isinstance(key, str):
        raise SecretUnavailable("security.encryption_key is not set")
    text = key.encode()
    if len(text) < MINIMUM_KEY:
        raise SecretUnavailable(f"security.encryption_key has {len(text)} bytes, it needs {MINIMUM_KEY} or more")
    return hashlib.sha256(text).digest()


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str):
        raise SecretUnavailable("its encrypted value is not a string")
    try:
        encrypted = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SecretUnavailable("its encrypted value is not Base64") from None
    if len(encrypted) < _NONCE + _TAG:
        raise SecretUnavailable("its encrypted value is too short")
    return encrypted
