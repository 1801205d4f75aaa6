"""Decide which stored secrets an execution gets and what happens when one can't be had (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import SecretUnavailable
from agent.execution.model import Action, CutOut, StoredKey
from agent.execution.schema import schema_fields
from agent.execution.secrets.encryption import decrypt
from agent.execution.secrets.redaction import MARKER, path_of, pointer, secret_paths, spliced, value_at

#: One key, or several, the present one first.
DecryptionKeys = str | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class ResolvedSecrets:
    """What an execution gets.

    ``config`` is its configuration with what was cut out restored, ``parameters`` the stored keys by name, ``values``
    every text that must be masked in what it writes, ``warnings`` what was left out and why.
    """

    config: Any
    parameters: Mapping[str, Any]
    values: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def resolve_secrets(
    action: Action, config: Any, keys: Iterable[StoredKey], cut_out: Iterable[CutOut], encryption_key: DecryptionKeys
) -> ResolvedSecrets:
    """Return the secrets of one execution of ``action``; rows of other packs' and actions' keys are ignored.

    A key of the action overrides one of its pack, which overrides a system-wide one of the same name; only the key
    that wins is decrypted. ``config`` itself is not changed.

    Raises:
        SecretUnavailable: a key of the action or its pack, one that ``param_schema`` names, or a value that was cut
            out of the parameters can't be had (promise: secrets fail closed). The message names it, never its value.
    """
    declared = list(secret_paths(action.param_schema))
    winners = _winners(action, keys)
    cuts = sorted(cut_out, key=lambda cut: cut.json_path)
    if not winners and not cuts and not declared:
        return ResolvedSecrets(config, {})
    values: list[Any] = []
    warnings: list[str] = []
    for cut in cuts:
        original = _decrypted(f"the parameter {cut.json_path!r}", cut.encrypted_value, encryption_key, cut)
        config = spliced(config, path_of(cut.json_path), original)
        values.append(original)
    parameters = _key_values(action, winners, encryption_key, values, warnings)
    for path in declared:
        found, value = value_at(parameters if path[0] in parameters else config, path)
        if found and value == MARKER:
            raise SecretUnavailable(f"the parameter {pointer(path)!r} is redacted and its value is not stored")
        if found:
            values.append(value)
    texts = dict.fromkeys(text for value in values for text in _texts(value))
    return ResolvedSecrets(config, parameters, tuple(texts), tuple(warnings))


def _winners(action: Action, keys: Iterable[StoredKey]) -> dict[str, StoredKey]:
    scopes: tuple[dict[str, StoredKey], ...] = ({}, {}, {})
    for key in keys:
        if key.owner_type == "system":
            scopes[0][key.name] = key
        elif key.owner_type == "pack" and key.owner_pack == action.pack:
            scopes[1][key.name] = key
        elif key.owner_type == "action" and key.owner_action == action.id:
            scopes[2][key.name] = key
    return scopes[0] | scopes[1] | scopes[2]


def _key_values(
    action: Action,
    keys: Mapping[str, StoredKey],
    encryption_key: DecryptionKeys,
    values: list[Any],
    warnings: list[str],
) -> dict[str, Any]:
    """Return the keys' values by name; encrypted ones are added to ``values``, what was left out to ``warnings``."""
    wanted = schema_fields(action.param_schema)
    parameters = {}
    for name, key in keys.items():
        try:
            parameters[name] = _value_of(key, encryption_key)
        except SecretUnavailable as error:
            if key.owner_type != "system" or name in wanted:
                raise
            warnings.append(f"left out: {error}")
        else:
            if key.encrypted:
                values.append(parameters[name])
    return parameters


def _value_of(key: StoredKey, encryption_key: DecryptionKeys) -> Any:
    if key.problem is not None:
        raise SecretUnavailable(f"the key {key.ref!r} can't be read: {key.problem}")
    return _decrypted(f"the key {key.ref!r}", key.value, encryption_key, key) if key.encrypted else key.value


def _decrypted(what: str, value: Any, encryption_key: DecryptionKeys, row: StoredKey | CutOut) -> Any:
    try:
        return decrypt(value, encryption_key, row.encryption_key_hash)
    except SecretUnavailable as error:
        raise SecretUnavailable(f"{what} can't be decrypted: {error}") from None


def _texts(value: Any) -> Iterator[str]:
    """Yield every text and number inside a secret value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield repr(value)
