"""The SHA-256 digest of an open file, by its descriptor: where it is read from does not move."""

from __future__ import annotations

import hashlib
import os

_CHUNK = 1 << 20


def digest_of(descriptor: int, size: int | None = None) -> str:
    """Return the digest in hexadecimal digits, of the first ``size`` bytes or of all. Raises OSError."""
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, _CHUNK if size is None else min(_CHUNK, size - offset), offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()
