"""The named statements of one package, and their rows as values of a class: columns are matched by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.rows import RowFactory, class_row, dict_row, scalar_row

from agent.db.pool import Connection
from agent.db.queries import load_queries

Row = TypeVar("Row")
_NOTHING: Mapping[str, Any] = {}


class Statements:
    """``queries.sql`` of a package. A class of rows (a dataclass or NamedTuple) names the columns that it wants.

    Each method raises psycopg.Error for what the server refuses, and TypeError where a statement returns other columns
    than its class names: then one of the two is wrong.
    """

    def __init__(self, package: str) -> None:
        """Read the statements of ``package`` (dotted)."""
        self._sql = load_queries(package)

    def run(self, connection: Connection, name: str, values: Mapping[str, Any] = _NOTHING) -> None:
        """Run a statement whose rows, if it has any, nobody wants."""
        connection.execute(self._sql[name].encode(), values)

    def cursor(
        self, connection: Connection, kind: type[Row], name: str, values: Mapping[str, Any] = _NOTHING
    ) -> psycopg.Cursor[Row]:
        """Run a statement; its rows are read from the cursor, in a pipeline after its end."""
        return self._execute(connection, class_row(kind), name, values)

    def all(
        self, connection: Connection, kind: type[Row], name: str, values: Mapping[str, Any] = _NOTHING
    ) -> list[Row]:
        """Run a statement and return its rows."""
        return self.cursor(connection, kind, name, values).fetchall()

    def one(
        self, connection: Connection, kind: type[Row], name: str, values: Mapping[str, Any] = _NOTHING
    ) -> Row | None:
        """Run a statement and return its first row, None where it has none."""
        return self.cursor(connection, kind, name, values).fetchone()

    def values(self, connection: Connection, name: str, values: Mapping[str, Any] = _NOTHING) -> list[Any]:
        """Run a statement of one column and return its values."""
        return self._execute(connection, scalar_row, name, values).fetchall()

    def value(self, connection: Connection, name: str, values: Mapping[str, Any] = _NOTHING) -> Any:
        """Run a statement of one column and return the value of its first row, None where it has none."""
        return self._execute(connection, scalar_row, name, values).fetchone()

    def mappings(self, connection: Connection, name: str, values: Mapping[str, Any] = _NOTHING) -> list[dict[str, Any]]:
        """Run a statement and return its rows by the names of their columns."""
        return self._execute(connection, dict_row, name, values).fetchall()

    def _execute(
        self, connection: Connection, rows: RowFactory[Row], name: str, values: Mapping[str, Any]
    ) -> psycopg.Cursor[Row]:
        return connection.cursor(binary=True, row_factory=rows).execute(self._sql[name].encode(), values)
