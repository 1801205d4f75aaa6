"""Passwords: hashed as Attune's API hashes them, at most two at a time, and as slowly for nobody as for somebody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from agent.errors import Overloaded

LONGEST = 128
"""Characters of a password; a longer one is refused before it costs anything."""

_AT_ONCE, _PATIENCE = 2, 5.0
_slots = threading.BoundedSemaphore(_AT_ONCE)
# Of a password that nobody has: an unknown login costs what a known one costs.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$XhnlDmZKrd8k0mN9k0SgJYsPbcqSgPQq7X8yKzNTdSo"


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


def hash_password(password: str) -> str:
    """Return the Argon2id hash of a password, in the form that is stored.

    Raises:
        Overloaded: too many are being hashed.
    """
    with _slot():
        return _hasher().hash(password)


def matches(password: str, stored: str | None) -> bool:
    """Whether the password is that of ``stored``; None, an account without one, costs as much as a wrong one.

    Raises:
        Overloaded: too many are being hashed.
    """
    if len(password) > LONGEST:
        return False
    with _slot():
        try:
            return _hasher().verify(stored or _NOBODY, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


@contextmanager
def _slot() -> Iterator[None]:
    """Each hash takes 19 MiB: more log-ins at once wait, and then are sent away."""
    if not _slots.acquire(timeout=_PATIENCE):
        raise Overloaded("too many log-ins at once", hint="try again in a few seconds")
    try:
        yield
    finally:
        _slots.release()
