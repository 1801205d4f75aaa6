"""What can be run, as an operator sees it: actions and packs."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from psycopg.rows import dict_row

from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.errors import Conflict, NotFound


def list_actions(database: Database, pack_ref: str | None = None) -> list[dict[str, Any]]:
    """Return actions by ref, all or those of a pack."""
    return _rows(database, "catalog_actions", {"pack_ref": pack_ref, "ref": None})


def find_action(database: Database, ref: str) -> dict[str, Any]:
    """Return one action with its schemas. Raises NotFound."""
    found = _rows(database, "catalog_actions", {"pack_ref": None, "ref": ref})
    if not found:
        raise NotFound(f"there is no action {ref}", hint="see: attune action list")
    return found[0]


def find_pack(database: Database, ref: str) -> dict[str, Any]:
    """Return one pack with the refs of its parts. Raises NotFound."""
    found = _rows(database, "catalog_pack", {"ref": ref})
    if not found:
        raise NotFound(f"there is no pack {ref}", hint="see: attune pack list")
    return found[0]


def remove_pack(database: Database, ref: str, base: Path) -> int:
    """Delete a pack with everything that it brought, rows and files; return its id.

    Raises:
        NotFound: there is none.
        Conflict: an execution of it is not over, or another pack uses one of its runtimes.
    """
    with database.connection() as connection:
        pack_id = remove_pack_rows(connection, ref)
    remove_pack_files(base, ref)
    return pack_id


def remove_pack_rows(connection: Connection, ref: str) -> int:
    """Delete the rows of a pack; return its id. Raises as ``remove_pack``."""
    found = _needed(connection, ref)
    if found is None:
        raise NotFound(f"there is no pack {ref}", hint="see: attune pack list")
    if found[1]:
        raise Conflict(f"pack {ref} can't be removed: {found[1]}", hint="wait for it, or cancel it")
    connection.execute(load_queries("agent.control")["remove_pack"].encode(), {"ref": ref})
    return int(found[0])


def remove_pack_files(base: Path, ref: str) -> None:
    """Delete the files of a pack; a link in their place stays."""
    place = base / ref
    if not place.is_symlink():
        with suppress(OSError):
            shutil.rmtree(place)


def _needed(connection: Connection, ref: str) -> tuple[int, str | None] | None:
    return connection.execute(load_queries("agent.control")["pack_needed"].encode(), {"ref": ref}).fetchone()


def _rows(database: Database, name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    with database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(load_queries("agent.control")[name].encode(), values).fetchall()
