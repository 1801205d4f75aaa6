"""A runtime as a pack's YAML describes it: from the parsed document to the values of its rows (pure).

The packs' loader and the registration of detected runtimes read the same files through this module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from agent.errors import PackError
from agent.runtimes.execution_config import ExecutionConfig
from agent.runtimes.typed_json import Section
from agent.versions import components


@dataclass(frozen=True)
class VersionDefinition:
    """One entry of ``versions``; JSON values are ready for the row of ``runtime_version``."""

    version: str
    major: int | None
    minor: int | None
    patch: int | None
    is_default: bool = False
    execution_config: Mapping[str, Any] = field(default_factory=dict)
    distributions: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RuntimeDefinition:
    """One runtime YAML file; JSON values are ready for the row of ``runtime``.

    ``versions`` is None when the file has no such key: a reload then leaves the stored versions alone.
    ``warnings`` says what was skipped.
    """

    ref: str
    name: str
    description: str | None = None
    aliases: tuple[str, ...] = ()
    distributions: Mapping[str, Any] = field(default_factory=dict)
    installation: Mapping[str, Any] | None = None
    execution_config: Mapping[str, Any] = field(default_factory=dict)
    versions: tuple[VersionDefinition, ...] | None = None
    warnings: tuple[str, ...] = ()


def runtime_from_yaml(document: Mapping[str, Any]) -> RuntimeDefinition:
    """Read one parsed runtime file.

    Raises:
        PackError: ``ref`` is missing or a key has the wrong type; the message names the key.
    """
    try:
        top = Section(document, title="the runtime file")
        ref = top.nonblank("ref")
        versions, warnings = _versions(top)
        return RuntimeDefinition(
            ref=ref,
            name=top.text("name", "").strip() or ref.rsplit(".", 1)[-1],
            description=top.optional_text("description"),
            aliases=tuple(alias.lower() for alias in top.texts("aliases")),
            distributions=_object(top, "distributions"),
            installation=_object(top, "installation") if top.has("installation") else None,
            execution_config=_execution_config(top),
            versions=versions,
            warnings=tuple(warnings),
        )
    except ValueError as error:
        raise PackError(str(error)) from error


def _versions(top: Section) -> tuple[tuple[VersionDefinition, ...] | None, list[str]]:
    entries = top.items("versions")
    if entries is None:
        return None, []
    versions: dict[str, VersionDefinition] = {}
    warnings = []
    for index, entry in enumerate(entries):
        section = Section(entry, f"versions[{index}]")
        version = section.raw("version")
        if not isinstance(version, str):
            # YAML turns an unquoted 3.10 into the number 3.1: guessing back would pick the wrong version.
            warnings.append(f"{section.name('version')} skipped: it must be a quoted string, not {version!r}")
        elif version in versions:
            warnings.append(f"{section.name('version')} skipped: {version} is listed twice")
        else:
            versions[version] = _version(section, version)
    return tuple(versions.values()), warnings


def _version(section: Section, version: str) -> VersionDefinition:
    major, minor, patch = components(version)
    return VersionDefinition(
        version=version,
        major=major,
        minor=minor,
        patch=patch,
        is_default=section.flag("is_default"),
        execution_config=_execution_config(section),
        distributions=_object(section, "distributions"),
        meta=_object(section, "meta"),
    )


def _execution_config(section: Section) -> Mapping[str, Any]:
    value = _object(section, "execution_config")
    try:
        ExecutionConfig.from_json(value)
    except ValueError as error:
        raise ValueError(f"{section.name('execution_config')}: {error}") from error
    return value


def _object(section: Section, key: str) -> Mapping[str, Any]:
    value: dict[str, Any] = _json(section.section(key).as_dict(), section.name(key))
    return value


def _json(value: Any, where: str) -> Any:
    """Return what PostgreSQL can store: YAML also knows dates, and keys that are numbers."""
    if isinstance(value, Mapping):
        return {str(key): _json(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}, which JSON can't express")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{where} has a type that JSON can't express: {type(value).__name__}")
