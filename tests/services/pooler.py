"""pgbouncer in front of the tests' PostgreSQL, in any mode."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

from tests.services.availability import unavailable

_PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") or ""


@contextmanager
def pooler(url: str, mode: Literal["session", "transaction", "statement"]) -> Iterator[str]:
    """Run a pgbouncer for the length of the block; give the URL that leads through it."""
    with tempfile.TemporaryDirectory(prefix="attune-pooler-") as name:
        yield from _running(url, Path(name), mode)


def _running(url: str, directory: Path, mode: str) -> Iterator[str]:
    if not _PROGRAM:
        unavailable("pgbouncer", "install the Debian package pgbouncer")
    given = conninfo_to_dict(url)
    port = _free_port()
    (directory / "users").write_text('"postgres" ""\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={given.get('host') or '127.0.0.1'} port={given.get('port') or 5432}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {directory}/users\npool_mode = {mode}\n"
        f"logfile = {directory}/pgbouncer.log\npidfile = {directory}/pgbouncer.pid\n"
    )
    as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"] if os.geteuid() == 0 else []
    directory.chmod(0o777)
    process = subprocess.Popen([*as_user, _PROGRAM, "-q", str(directory / "pgbouncer.ini")])
    try:
        deadline = time.monotonic() + 10
        while not _accepts(port):
            assert process.poll() is None, (directory / "pgbouncer.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"postgresql://postgres@127.0.0.1:{port}/{given['dbname']}"
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
