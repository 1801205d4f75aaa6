"""Keep secret parameters out of what everybody may read: a marker in their place, the value encrypted beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import ConfigurationError
from agent.execution.secrets.encryption import encrypt, key_hash
from agent.execution.secrets.redaction import MARKER, pointer, secret_paths, spliced, value_at


@dataclass(frozen=True)
class EncryptedParameter:
    """One secret value, encrypted; ``json_path`` says where the worker puts it back."""

    json_path: str
    value: str
    key_hash: str


def encrypt_secrets(
    parameters: Mapping[str, Any], schema: Any, encryption_key: str | None
) -> tuple[dict[str, Any], list[EncryptedParameter]]:
    """Return ``parameters`` with a marker in place of each value that ``schema`` declares secret, and those values.

    Raises:
        ConfigurationError: there is a secret and no key to encrypt it with: it is not stored readable instead.
    """
    public: Any = dict(parameters)
    taken: list[EncryptedParameter] = []
    for path in secret_paths(schema):
        found, value = value_at(parameters, path)
        if not found or value is None:
            continue
        if not encryption_key:
            raise ConfigurationError(
                f"parameter {'.'.join(path)} is secret and can't be stored without an encryption key",
                hint="set security.encryption_key (ATTUNE__SECURITY__ENCRYPTION_KEY) as the workers have it",
            )
        public = spliced(public, path, dict(MARKER))
        taken.append(EncryptedParameter(pointer(path), encrypt(value, encryption_key), key_hash(encryption_key)))
    return public, taken
