"""Find and kill the jobs of the previous process of this agent, which was killed and could not end them itself.

Their parent has died, so the kernel has given them to a process that started us as well, directly or through others:
PID 1, or a supervisor that collects orphans. What runs below another agent that lives is not among them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator

from agent.process.children import CHILDREN
from agent.process.oom_score import oom_score_of
from agent.process.orphans import environment_of
from agent.process.process_table import processes

#: The variable that names the execution of a job.
_VARIABLE = "ATTUNE_EXEC_ID"
#: Each round kills what the round before uncovered.
_MAX_ROUNDS = 64
_PAUSE = 0.01


def kill_leftovers(ours: Callable[[Collection[int]], Collection[int]], *, site: str, scores: Collection[int]) -> int:
    """Kill what the previous process left running; return how many processes were killed.

    ``ours`` is given ids of executions and returns those of this worker. ``site`` is a ``NAME=value`` that all jobs of
    this deployment have in their environment: ids of executions repeat from one database to the next. ``scores`` are
    the marks of our slots, by which a job is known that dropped its environment; they count only where everything else
    is as with ourselves: the user, the control group.
    """
    tried: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        candidates = [pid for pid in _orphans() if pid not in tried]
        ids = {pid: id_ for pid in candidates if (id_ := _execution_of(pid, os.fsencode(site))) is not None}
        known = set(ours(set(ids.values()))) if ids else set()
        found = [pid for pid in candidates if ids.get(pid) in known or _is_marked(pid, scores)]
        if not found:
            break
        for pid in found:
            _kill(pid)
        tried.update(found)
        time.sleep(_PAUSE)  # until the kernel has given their children away
    return len(tried)


def kill_marked(prefix: str, *, orphans_only: bool = True) -> int:
    """Kill what has a variable that begins with ``prefix`` (``NAME=val``) in its environment; return how many.

    ``orphans_only``: where an earlier life left it, and not what runs below a program that lives.
    """
    tried: set[int] = set()
    wanted = os.fsencode(prefix)
    for _ in range(_MAX_ROUNDS):
        candidates = _orphans() if orphans_only else (process.pid for process in processes() if not process.has_ended)
        found = [
            pid
            for pid in candidates
            if pid not in tried and pid != os.getpid() and any(item.startswith(wanted) for item in environment_of(pid))
        ]
        if not found:
            break
        for pid in found:
            _kill(pid)
        tried.update(found)
        time.sleep(_PAUSE)
    return len(tried)


def _orphans() -> Iterator[int]:
    """Yield the processes whose parent is one of our ancestors, or we ourselves without waiting for them."""
    parents = {process.pid: process.parent for process in processes() if not process.has_ended}
    ancestors = {0, 1}
    pid = os.getpid()
    while pid in parents and parents[pid] not in ancestors:
        pid = parents[pid]
        ancestors.add(pid)
    mine = os.getpid()
    for pid, parent in parents.items():
        if pid == mine or pid in ancestors:
            continue
        if parent in ancestors or (parent == mine and not CHILDREN.mine(pid)):
            yield pid


def _execution_of(pid: int, site: bytes) -> int | None:
    """Return the execution that a process names in its environment; not the one that we were started by ourselves."""
    items = environment_of(pid)
    own = os.fsencode(os.environ.get(_VARIABLE, ""))
    numbers = [item.partition(b"=")[2] for item in items if item.startswith(os.fsencode(_VARIABLE) + b"=")]
    return int(numbers[0]) if site in items and numbers and numbers[0].isdigit() and numbers[0] != own else None


def _is_marked(pid: int, scores: Collection[int]) -> bool:
    """Whether it carries a mark of ours and no name of an execution, ours or another's."""
    return (
        bool(scores)
        and oom_score_of(pid) in scores
        and oom_score_of(os.getpid()) not in scores
        and not any(item.startswith(os.fsencode(_VARIABLE) + b"=") for item in environment_of(pid))
        and _identity(pid) == _identity(os.getpid())
    )


def _identity(pid: int) -> tuple[bytes, bytes] | None:
    """The user and the control group of a process; None when it has gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status, open(f"/proc/{pid}/cgroup", "rb") as group:
            users = next((line for line in status if line.startswith(b"Uid:")), b"")
            return users, group.read()
    except OSError:
        return None


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
