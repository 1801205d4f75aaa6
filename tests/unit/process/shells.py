"""A shell script as the child of a test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from agent.process.cancellation import CancellationToken
from agent.process.job_mark import JobMark
from agent.process.request import ProcessOutcome, ProcessRequest
from agent.process.supervisor import run


def run_shell(
    script: str,
    *,
    stdin: bytes = b"",
    timeout: float | None = 20.0,
    grace: float = 1.0,
    stop: CancellationToken | None = None,
    cwd: str | None = None,
    marker: str | None = None,
    score: int | None = None,
    on_output: Callable[[bytes], None] | None = None,
) -> tuple[ProcessOutcome, bytes, bytes]:
    """Run a shell script and return its outcome and output."""
    out: list[bytes] = []
    err: list[bytes] = []

    def take(chunk: bytes) -> None:
        out.append(chunk)
        if on_output is not None:
            on_output(chunk)

    env = dict(os.environ)
    if marker is not None:
        name, _, value = marker.partition("=")
        env[name] = value
    mark = None if marker is None else JobMark(marker, score)
    request = ProcessRequest(["/bin/sh", "-c", script], env, cwd, stdin, timeout, take, err.append, mark, grace)
    own = stop or CancellationToken()
    try:
        return run(request, own), b"".join(out), b"".join(err)
    finally:
        own.close()


def is_gone(pid: int) -> bool:
    """Whether a process has ended (a zombie counts)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(file: Path) -> str:
    """Return what a shell waits with until ``file`` is there."""
    return f"until [ -e {file} ]; do sleep 0.01; done"
