"""Add a row for each detected interpreter that the database has no runtime for.

Promise: the machine's own interpreter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.db.pool import Database
from agent.errors import DatabaseError, DatabaseUnavailable
from agent.runtimes.definition_files import find_template
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.minimal import detection_config, minimal_distributions, minimal_execution_config
from agent.runtimes.names import default_aliases, display_name, matches_filter, normalize_runtime_name
from agent.runtimes.store import NewRuntime, StoredRuntimes, insert_runtime, load_runtimes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Template:
    """What a new row takes over from a described runtime."""

    ref: str
    name: str
    aliases: tuple[str, ...]
    distributions: Mapping[str, Any]
    installation: Mapping[str, Any] | None
    execution_config: Mapping[str, Any]


def register_detected(
    database: Database, detected: Sequence[DetectedInterpreter], *, packs_base_dir: Path
) -> list[str]:
    """Add what is missing and return the refs that were added.

    Agents that do the same at the same time don't disturb each other; a row that the database refuses is passed over.

    Raises:
        DatabaseError: the runtimes can't be read.
        DatabaseUnavailable: the database went away.
    """
    if not detected:
        return []
    stored = load_runtimes(database)
    added = []
    for interpreter in detected:
        if is_known(interpreter.name, stored):
            continue
        runtime = new_runtime(interpreter, find_for(interpreter.name, stored, packs_base_dir))
        if _add(database, runtime):
            added.append(runtime.ref)
    return added


def is_known(name: str, stored: StoredRuntimes) -> bool:
    """Whether some runtime is called so, by its name or an alias (pure)."""
    return any(matches_filter((row.name, *row.aliases), (name,)) for row in stored.runtimes)


def find_for(name: str, stored: StoredRuntimes, packs_base_dir: Path) -> Template | None:
    """Return the template for ``name``: from the database, else from packs on disk, else what ships with the agent."""
    for ref, row in stored.raw.items():
        prefix, _, last = ref.partition(".")
        if prefix == "core" and normalize_runtime_name(last) == normalize_runtime_name(name):
            aliases = tuple(row["aliases"] or ())
            return Template(
                ref, row["name"], aliases, row["distributions"], row["installation"], row["execution_config"]
            )
    found = find_template(name, packs_base_dir)
    if found is None:
        return None
    return Template(
        found.ref, found.name, found.aliases, found.distributions, found.installation, found.execution_config
    )


def new_runtime(detected: DetectedInterpreter, template: Template | None) -> NewRuntime:
    """Return the row ``auto.<name>``: a clone of the template with the detected path in it, else the minimum (pure)."""
    name = normalize_runtime_name(detected.name)
    if template is None:
        return NewRuntime(
            ref=f"auto.{name}",
            name=display_name(name),
            description=f"Auto-detected {name} runtime at {detected.path}",
            aliases=default_aliases(name),
            distributions=minimal_distributions(name, detected.path),
            execution_config=minimal_execution_config(name, detected.path),
            detection_config=detection_config(detected),
        )
    # The scheduler matches names and aliases: a template that calls itself something else must still be found.
    aliases = dict.fromkeys((*template.aliases, *default_aliases(name)))
    return NewRuntime(
        ref=f"auto.{name}",
        name=template.name if matches_filter((template.name,), (name,)) else display_name(name),
        description=f"Auto-detected {name} runtime (from template {template.ref})",
        aliases=tuple(aliases),
        distributions=template.distributions,
        installation=template.installation,
        execution_config=with_detected_path(template.execution_config, detected.path),
        detection_config=detection_config(detected, template.ref),
    )


def with_detected_path(config: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Put the path into a template's configuration; a path with variables (``{env_dir}/…``) stays (pure)."""
    changed = dict(config)
    if isinstance(config.get("interpreter"), Mapping):
        changed["interpreter"] = {**config["interpreter"], "binary": path}
    environment = config.get("environment")
    if isinstance(environment, Mapping):
        own = environment.get("interpreter_path")
        if isinstance(own, str) and "{" not in own:
            changed["environment"] = {**environment, "interpreter_path": path}
    return changed


def _add(database: Database, runtime: NewRuntime) -> bool:
    try:
        added = insert_runtime(database, runtime)
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        log.warning("runtime %s could not be added: %s", runtime.ref, error)
        return False
    if added:
        log.info("added runtime %s: %s", runtime.ref, runtime.description)
    return added
