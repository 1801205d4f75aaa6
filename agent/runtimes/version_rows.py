"""Make a version row of each interpreter that was found and that no row means, so that a constraint can find it.

A row is a clone of its runtime's configuration: other machines share it, so it names programs, not paths of this one.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.db.pool import Database
from agent.errors import DatabaseError, DatabaseUnavailable
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.languages import language_named
from agent.runtimes.model import Runtime, RuntimeVersion
from agent.runtimes.names import language_of
from agent.runtimes.store import StoredRuntimes, insert_version, load_runtimes
from agent.versions import matches_row, parse_version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewVersion:
    """The values of a row that an agent adds."""

    runtime: int
    runtime_ref: str
    version: str
    execution_config: Mapping[str, Any]
    distributions: Mapping[str, Any]
    meta: Mapping[str, Any]


def register_versions(database: Database, detected: Iterable[DetectedInterpreter]) -> list[str]:
    """Add the rows that are missing and return them as ``core.python 3.10``.

    Agents that do the same at the same time don't disturb each other; a row that the database refuses is passed over.

    Raises:
        DatabaseError: the runtimes can't be read.
        DatabaseUnavailable: the database went away.
    """
    added = []
    for row in missing_versions(load_runtimes(database), detected):
        try:
            if insert_version(database, vars(row)):
                added.append(f"{row.runtime_ref} {row.version}")
        except DatabaseUnavailable:
            raise
        except DatabaseError as error:
            log.warning("version %s of %s could not be added: %s", row.version, row.runtime_ref, error)
    if added:
        log.info("added versions that no pack lists: %s", ", ".join(added))
    return added


def missing_versions(stored: StoredRuntimes, detected: Iterable[DetectedInterpreter]) -> list[NewVersion]:
    """Return a row for each interpreter that no row of its runtime means (pure)."""
    found: dict[tuple[int, str], NewVersion] = {}
    by_runtime: dict[int, list[RuntimeVersion]] = {}
    for version in stored.versions:
        by_runtime.setdefault(version.runtime, []).append(version)
    for item in detected:
        for runtime in stored.runtimes:
            if not item.version or not _runs(runtime, item.name, stored):
                continue
            rows = by_runtime.get(runtime.id, [])
            if not any(matches_row(row.version, item.version, item.name) for row in rows):
                row = new_version(runtime, item, _config(runtime, stored), rows)
                found.setdefault((runtime.id, row.version), row)
    return list(found.values())


def new_version(
    runtime: Runtime, item: DetectedInterpreter, config: Mapping[str, Any], rows: Sequence[RuntimeVersion]
) -> NewVersion:
    """Return the row for one interpreter of ``runtime``, whose configuration is ``config`` (pure)."""
    assert item.version is not None
    version = row_version(item.version, item.name, [row.version for row in rows])
    family = language_named(item.name)
    plain = family.binaries if family else (runtime.config.interpreter.binary,)
    own = f"python{version}" if item.name == "python" and version.count(".") == 1 else None
    arguments = list(family.version_arguments) if family else ["--version"]
    checks = [
        {"binary": binary, "args": arguments, "exit_code": 0, "pattern": _pattern(version, item.name), "priority": i}
        for i, binary in enumerate([*([own] if own else []), *plain], start=1)
    ]
    return NewVersion(
        runtime=runtime.id,
        runtime_ref=runtime.ref,
        version=version,
        execution_config=_for(config, own) if own else config,
        distributions={"verification": {"commands": checks}},
        meta={"auto_detected": True, "detected_path": item.path, "detected_version": item.version},
    )


def row_version(version: str, language: str, others: Sequence[str]) -> str:
    """Return what a row for ``version`` is called: as precise as the runtime's other rows (``3.10``, ``20``).

    A pre-release keeps its full text: a row of ``3.15`` would stand for the release.
    """
    parsed = parse_version(version, language)
    if parsed.pre:
        return str(parsed)
    lengths = Counter(text.count(".") + 1 for text in others if re.fullmatch(r"\d+(\.\d+){0,2}", text))
    known = language_named(language)
    wanted = lengths.most_common(1)[0][0] if lengths else known.precision if known else 2
    return ".".join(map(str, parsed.numbers[:wanted]))


def _runs(runtime: Runtime, language: str, stored: StoredRuntimes) -> bool:
    """Whether the interpreter belongs to ``runtime``: one that runs files with an interpreter of that language."""
    if runtime.ref.startswith("core.sensor.") or runtime.id in stored.problems or language == "shell":
        return False
    return bool(runtime.config.interpreter.binary) and language_of(runtime.name, runtime.ref) == language


def _config(runtime: Runtime, stored: StoredRuntimes) -> Mapping[str, Any]:
    config = stored.raw[runtime.ref]["execution_config"]
    return config if isinstance(config, Mapping) else {}


def _for(config: Mapping[str, Any], binary: str) -> Mapping[str, Any]:
    """Put a program with a version in its name in the place of the runtime's own."""
    interpreter = config.get("interpreter")
    environment = config.get("environment")
    changed = dict(config)
    own = interpreter.get("binary") if isinstance(interpreter, Mapping) else None
    if isinstance(interpreter, Mapping):
        changed["interpreter"] = {**interpreter, "binary": binary}
    if isinstance(environment, Mapping):
        command = environment.get("create_command")
        if isinstance(command, list) and command and command[0] == own:
            changed["environment"] = {**environment, "create_command": [binary, *command[1:]]}
    return changed


def _pattern(version: str, language: str) -> str:
    escaped = re.escape(version)
    return rf'version "(1\.)?{escaped}["._+-]' if language == "java" else rf"\b{escaped}\b"
