"""Runtime definitions in the files of packs: those on this machine, and those that ship with the agent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import yaml

from agent.errors import PackError
from agent.paths import shipped
from agent.reading.json_text import require_few_values
from agent.reading.regular_files import read_regular
from agent.runtimes.definition import RuntimeDefinition, runtime_from_yaml
from agent.runtimes.names import matches_filter

log = logging.getLogger(__name__)

_SUFFIXES = (".yaml", ".yml")
#: No definition is anywhere near this size.
_MOST_BYTES = 1024 * 1024


def find_template(name: str, packs_base_dir: Path) -> RuntimeDefinition | None:
    """Return the definition ``core.<name>`` that the packs on disk have, else the one that ships with the agent.

    It is found by any of the language's names. A file that can't be read is passed over with a warning.
    """
    for packs in (packs_base_dir, _shipped_packs()):
        for definition in _core_definitions(packs) if packs is not None else ():
            if matches_filter((definition.name, *definition.aliases, definition.ref.removeprefix("core.")), (name,)):
                return definition
    return None


def _shipped_packs() -> Path | None:
    try:
        return shipped("packs")
    except FileNotFoundError:
        return None


def _core_definitions(packs: Path) -> Iterator[RuntimeDefinition]:
    """The definitions of ``core.*`` runtimes below ``packs``, those of the pack ``core`` first."""
    directories = [packs / "core" / "runtimes", *sorted(packs.glob("*/runtimes"))]
    for directory in dict.fromkeys(directories):
        for path in sorted(directory.glob("*")) if directory.is_dir() else ():
            definition = _read(path) if path.suffix in _SUFFIXES else None
            if definition is not None and definition.ref.startswith("core.") and definition.ref.count(".") == 1:
                yield definition


def _read(path: Path) -> RuntimeDefinition | None:
    try:
        document = yaml.safe_load(read_regular(path, _MOST_BYTES))
        require_few_values(document)
        return runtime_from_yaml(document)
    # ValueError: what looks like a date and is none, a number without end.
    except (OSError, ValueError, OverflowError, yaml.YAMLError, PackError, RecursionError) as error:
        log.warning("%s is skipped: %s", path, error)
        return None
