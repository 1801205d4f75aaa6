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
from typing import Any

from agent.errors import SecretUnavailable

_NONCE = 12
_TAG = 16

#: Fewest bytes of a configured key.
MINIMUM_KEY = 32


def key_hash(key: str) -> str:
    """Return what is stored beside an encrypted value to say which key encrypted it: hex SHA-256 of the key's text."""
    return hashlib.sha256(key.encode()).hexdigest()


def decrypt(value: Any, key: str | None, expected_hash: str | None = None) -> Any:
    """Return the JSON value that ``value`` hides.

    Raises:
        SecretUnavailable: no key, another key, a damaged or foreign value. The message never holds secret text.
    """
    aes_key = _aes_key(key)
    if expected_hash is not None and not hmac.compare_digest(expected_hash.lower().encode(), aes_key.hex().encode()):
        raise SecretUnavailable("it was encrypted with another key than security.encryption_key")
    encrypted = _decoded(value)
    from Crypto.Cipher import AES

    cipher = AES.new(aes_key, AES.MODE_GCM, nonce=encrypted[:_NONCE], mac_len=_TAG)
    try:
        plain = cipher.decrypt_and_verify(encrypted[_NONCE:-_TAG], encrypted[-_TAG:])
    except ValueError:
        raise SecretUnavailable("it is damaged, or was encrypted with another key") from None
    try:
        return json.loads(plain)
    except (ValueError, RecursionError):
        # The decoder's error holds the plain text: it must not stay in the chain.
        raise SecretUnavailable("its decrypted value is not JSON") from None


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


def _aes_key(key: str | None) -> bytes:
    if not key:
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
