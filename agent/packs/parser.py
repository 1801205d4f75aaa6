"""Reads a pack's directory: from YAML files to values, with everything that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.errors import PackError
from agent.packs.complaints import Complaints
from agent.packs.components import read_action, read_sensor, read_trigger
from agent.packs.document import read_document
from agent.packs.manifest import read_manifest
from agent.packs.mapping_reader import MappingReader
from agent.packs.model import Pack, PackAction, Parsed, Problem
from agent.packs.permissions import read_permission_set
from agent.packs.rule_files import read_rule
from agent.packs.runner_types import NamedRuntime
from agent.packs.runtime_files import read_runtime
from agent.packs.scope import Scope

MANIFEST = "pack.yaml"
# Parts of a pack that other programs of a deployment register.
_UNREAD = ("workflows", "policies", "queues", "dashboards", "caches")
T = TypeVar("T")


def parse_pack(directory: Path, known_runtimes: Iterable[NamedRuntime] = ()) -> Parsed:
    """Read the pack in ``directory``.

    ``known_runtimes`` are those that are registered already; the core pack's names are always known.
    """
    complaints = Complaints()
    if not directory.is_dir():
        complaints.add(Problem(str(directory), 1, "", "is not a directory"))
        return Parsed(None, complaints.problems)
    pack = _Reader(directory, complaints).read(tuple(known_runtimes))
    return Parsed(None if complaints.problems else pack, complaints.problems, complaints.warnings)


def read_pack(directory: Path, known_runtimes: Iterable[NamedRuntime] = ()) -> Pack:
    """Read the pack in ``directory``.

    Raises:
        PackError: it has problems; the message lists all of them.
    """
    parsed = parse_pack(directory, known_runtimes)
    if parsed.pack is None:
        raise PackError(f"{directory} can't be used as a pack: {'; '.join(map(str, parsed.problems))}")
    return parsed.pack


@dataclass(frozen=True)
class _Reader:
    directory: Path
    complaints: Complaints

    def read(self, known: tuple[NamedRuntime, ...]) -> Pack | None:
        fields = self._fields(MANIFEST)
        manifest = read_manifest(fields) if fields else None
        ref = manifest.ref if manifest else ""
        runtimes = self._unique("runtimes", lambda one: read_runtime(one, ref))
        scope = Scope(self.directory, ref, (*runtimes, *known))
        triggers = self._unique("triggers", lambda one: read_trigger(one, scope))
        described = self._unique("actions", lambda one: read_action(one, scope))
        sensors = self._unique("sensors", lambda one: read_sensor(one, scope))
        rules = self._unique("rules", lambda one: read_rule(one, scope))
        permission_sets = self._unique("permission_sets", lambda one: read_permission_set(one, scope))
        for name in _UNREAD:
            if any(self._files(name)):
                self.complaints.warn(Problem(name, 1, "", "is not registered by this command"))
        if manifest is None:
            return None
        return Pack(
            directory=self.directory,
            manifest=manifest,
            runtimes=runtimes,
            actions=tuple(one for one in described if isinstance(one, PackAction)),
            sensors=sensors,
            triggers=triggers,
            rules=rules,
            permission_sets=permission_sets,
            unread=tuple(one for one in described if isinstance(one, str)),
        )

    def _unique(self, folder: str, read: Callable[[MappingReader], T | None]) -> tuple[T, ...]:
        """Read all files of a folder; complain about a ref that two of them have."""
        found: list[T] = []
        places: dict[str, str] = {}
        for file in self._files(folder):
            fields = self._fields(file)
            if fields is None:
                continue
            value = read(fields)
            ref = fields.text("ref") or ""
            line = fields.line("ref")
            if ref and ref in places:
                self.complaints.add(
                    Problem(file, line, "ref", f"{ref} is defined twice; the first definition is in {places[ref]}")
                )
            places.setdefault(ref, f"{file}:{line}")
            if value is not None:
                found.append(value)
        return tuple(found)

    def _fields(self, file: str) -> MappingReader | None:
        document = read_document(self.directory, file, self.complaints)
        return MappingReader(document, document.root) if document.root else None

    def _files(self, folder: str) -> Iterator[str]:
        place = self.directory / folder
        if not place.is_dir():
            return
        for path in sorted(place.iterdir()):
            if path.suffix in (".yaml", ".yml") and not path.name.startswith("."):
                yield f"{folder}/{path.name}"
