"""Installs a pack from a directory: its rows into the database, its files where workers look for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.db.pool import Database
from agent.packs.installed_files import staged
from agent.packs.loader import Registration, register
from agent.packs.model import Pack, Problem


@dataclass(frozen=True)
class Installed:
    """What an installation did; ``place`` is where the pack's files lie now, ``copied`` whether they were put there."""

    registration: Registration
    place: Path
    copied: bool

    def as_document(self, warnings: Iterable[Problem], *, told: bool) -> dict[str, Any]:
        """Return it as the JSON that the operator's command prints; ``told``: whether workers were notified."""
        done = self.registration
        return {
            "pack": {"id": done.pack_id, "ref": done.ref, "version": done.version, "created": done.created},
            "added": [{"kind": kind, "ref": ref} for kind, ref in done.added],
            "updated": [{"kind": kind, "ref": ref} for kind, ref in done.updated],
            "removed": [{"kind": one.kind, "ref": one.ref} for one in done.removed],
            "kept": [{"kind": one.kind, "ref": one.ref, "reason": one.reason} for one in done.kept],
            "notes": list(done.notes),
            "warnings": list(warnings),
            "files": {"path": str(self.place), "copied": self.copied},
            "runtime_names": list(done.runtime_names),
            "announced": told,
        }


def install(database: Database, pack: Pack, base: Path) -> Installed:
    """Register ``pack`` and copy its directory to ``base/<ref>``, unless it lies there already.

    The files are copied first, then the rows are written, then the copy takes its place in one step: a full disk or a
    refused row leaves everything as it was.

    Raises:
        PackError: a file can't be copied, or a runtime that a part names isn't registered.
        DatabaseError: the database refused.
    """
    with staged(pack.directory, base, pack.ref) as files:
        registration = register(database, pack, storage_path=str(files.place))
        files.put_in_place()
        return Installed(registration, files.place, files.copy is not None)
