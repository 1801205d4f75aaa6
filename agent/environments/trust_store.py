"""Java's own form of a list of authorities, made of a PEM file: its TLS reads no PEM, and its keytool one at a time."""

from __future__ import annotations

import hashlib
import re
import ssl
import struct

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_MAGIC, _VERSION, _TRUSTED = 0xFEEDFEED, 2, 2
#: How every certificate begins.
_SEQUENCE = b"\x30"
#: What Java's tools take when nobody says another; a list of public certificates has nothing to hide.
_PASSWORD = "changeit"  # noqa: S105 - see above


def java_trust_store(pem: str) -> bytes:
    """Return a key store of the type JKS that trusts every certificate of ``pem``.

    Raises:
        ValueError: there is none, or one can't be read.
    """
    found = [ssl.PEM_cert_to_DER_cert(text) for text in _CERTIFICATE.findall(pem)]
    if not found or not all(certificate.startswith(_SEQUENCE) for certificate in found):
        raise ValueError("it has no certificate, or a damaged one")
    entries = [_entry(f"authority-{index}", certificate) for index, certificate in enumerate(found)]
    data = struct.pack(">III", _MAGIC, _VERSION, len(found)) + b"".join(entries)
    checksum = hashlib.sha1(_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + data, usedforsecurity=False)
    return data + checksum.digest()


def _entry(alias: str, certificate: bytes) -> bytes:
    made_at = struct.pack(">Q", 0)
    length = struct.pack(">I", len(certificate))
    return struct.pack(">I", _TRUSTED) + _text(alias) + made_at + _text("X.509") + length + certificate


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data
