"""Stored keys, on the database, with the encryption key of this machine's settings."""

from __future__ import annotations

from typing import Any

from agent.control import keystore
from agent.db.pool import Database
from agent.execution.secrets.encryption import decrypt
from agent.operations.interface import NewKey
from agent.operations.means import Means


class DirectKeys:
    """Implements ``Keys``."""

    def __init__(self, database: Database, means: Means) -> None:
        """Work on ``database``."""
        self._database = database
        self._means = means

    def store(self, key: NewKey) -> bool:
        """Store it; return whether it is new."""
        with self._database.connection() as connection:
            return keystore.set_key(
                connection,
                key.ref,
                key.value,
                name=key.name,
                owner=key.owner,
                encrypted=key.encrypted,
                encryption_key=self._means.settings.security.encryption_key,
                replace=True,
            )

    def all(self) -> list[dict[str, Any]]:
        """Return all, without values."""
        with self._database.connection() as connection:
            return keystore.list_keys(connection)

    def find(self, ref: str, *, reveal: bool) -> dict[str, Any]:
        """Return one. Raises NotFound, SecretUnavailable."""
        with self._database.connection() as connection:
            found = keystore.find_key(connection, ref)
        digest = found.pop("encryption_key_hash")
        if found["encrypted"]:
            secrets = self._means.settings.security.decryption_keys
            found["value"] = decrypt(found["value"], secrets, digest) if reveal else None
        return found

    def delete(self, ref: str) -> None:
        """Delete it. Raises NotFound."""
        with self._database.connection() as connection:
            keystore.delete_key(connection, ref)
