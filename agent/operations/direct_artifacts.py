"""Artifacts, on the database and below artifacts_dir of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from agent.control import executions
from agent.control.artifact_files import open_version
from agent.control.stored_artifacts import StoredArtifacts
from agent.db.pool import Connection, Database
from agent.errors import NotFound
from agent.operations.means import Means
from agent.reading.digest import digest_of

_CHUNK = 1 << 20


class OpenedVersion:
    """Implements ``ArtifactContent``: a file that stays the one that was opened."""

    def __init__(self, descriptor: int) -> None:
        """Own ``descriptor``."""
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    @cached_property
    def sha256(self) -> str:
        """The digest of all of it."""
        return digest_of(self._descriptor, self.size)

    def read_from(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes behind ``offset``, up to what there was when it was opened."""
        while chunk := os.pread(self._descriptor, min(_CHUNK, self.size - offset), offset):
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class DirectArtifacts:
    """Implements ``Artifacts``."""

    def __init__(self, database: Database, means: Means) -> None:
        """Work on ``database``."""
        self._database = database
        self._means = means

    def newest(self, *, limit: int, **filters: Any) -> list[dict[str, Any]]:
        """Return some, newest first."""
        with self._database.connection() as connection:
            return StoredArtifacts(connection).newest(limit=limit, **filters)

    def find(self, named: str) -> dict[str, Any]:
        """Return one with its versions. Raises NotFound."""
        with self._database.connection() as connection:
            row = _found(connection, named)
            return row | {"versions": StoredArtifacts(connection).versions(row["id"])}

    def left_by(self, execution_id: int) -> list[dict[str, Any]]:
        """Return what an execution left. Raises NotFound."""
        executions.find(self._database, execution_id)
        with self._database.connection() as connection:
            return StoredArtifacts(connection).left_by(execution_id)

    def content(self, artifact_id: int, version: int) -> OpenedVersion:
        """Open the bytes of a version. Raises NotFound, Conflict."""
        with self._database.connection() as connection:
            row = StoredArtifacts(connection).version(artifact_id, version)
        if row is None:
            raise NotFound(f"it has no version {version}")
        return OpenedVersion(open_version(self._means.settings.artifacts_dir, row))


def _found(connection: Connection, named: str) -> dict[str, Any]:
    number = int(named) if named.isascii() and named.isdigit() and len(named) < 19 else None
    row = StoredArtifacts(connection).find(number=number, ref=named if number is None else None)
    if row is None:
        raise NotFound(f"there is no artifact {named}", hint="see: attune artifact list")
    return row
