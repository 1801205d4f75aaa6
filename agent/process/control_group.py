"""A control group for each job (cgroups(7)), where this process may make some: the kernel counts the job's processes,
and in version 2 its memory.

In version 2 a group that has groups below it holds no process itself, so the agent moves into one of its own first;
that is possible where nobody else is in its group. In version 1 the groups of jobs simply lie below the agent's; its
memory controller is left alone, which kills one process of a job and not all of them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.process.own_group import path_of_group

_MOUNT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_PREFIX = "attune-"

#: The controllers that limit jobs.
PIDS, MEMORY = "pids", "memory"


class JobGroups:
    """One per process. Until ``open`` was called, and where it failed, no job has a group."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._base: Path | None = None
        self._keeps: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._groups: dict[int, Path] = {}
        self._count = 0

    def open(self, controller: str = PIDS, *more: str) -> str | None:
        """Get ready to make groups for ``controller``; return why that is impossible, None when it is not.

        What ``more`` names is kept as well where it can be.
        """
        if self._base is not None:
            return None
        try:
            base, unified = _own_group(controller)
            self._sweep(base)
            keeps = {controller}
            if unified:
                keeps |= _step_aside(base, controller, more)
            _try(base)
        except OSError as error:
            return _reason(error, controller)
        self._base, self._keeps = base, frozenset(keeps)
        return None

    def limit(self, leader: int, *, processes: int | None = None, memory: int | None = None) -> frozenset[str]:
        """Make a group for the job of ``leader``; return the controllers that limit it from now on.

        At most ``processes`` processes and threads are in it at a time, which have at most ``memory`` bytes together.
        """
        wanted = {PIDS: _limits_of_processes(processes), MEMORY: _limits_of_memory(memory)}
        kept = {name: files for name, files in wanted.items() if files and name in self._keeps}
        if self._base is None or not kept:
            return frozenset()
        with self._lock:
            self._count += 1
            group = self._base / f"{_PREFIX}job-{os.getpid()}-{self._count}"
        try:
            group.mkdir()
            for files in kept.values():
                for file, value in files.items():
                    (group / file).write_text(value)
            if MEMORY in kept:
                with contextlib.suppress(OSError):  # a kernel without swap
                    (group / "memory.swap.max").write_text("0")
            _write(group / "cgroup.procs", leader)
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            return frozenset()
        self._groups[leader] = group
        return frozenset(kept)

    def join(self, leader: int, pids: Iterable[int]) -> None:
        """Bring what the job has started before its group was there."""
        group = self._groups.get(leader)
        if group is None:
            return
        for pid in pids:
            with contextlib.suppress(OSError):  # it has ended
                _write(group / "cgroup.procs", pid)

    def was_full(self, leader: int) -> bool:
        """Whether the job was refused a process because of its limit."""
        return self._events(leader, "pids.events").get("max", 0) > 0

    def ran_out_of_memory(self, leader: int) -> bool:
        """Whether the kernel has killed the job because of its limit, and not for want of memory around it."""
        events = self._events(leader, "memory.events")
        return events.get("oom", 0) > 0 and events.get("oom_kill", 0) > 0

    def _events(self, leader: int, file: str) -> Mapping[str, int]:
        group = self._groups.get(leader)
        words = []
        with contextlib.suppress(OSError):
            words = [] if group is None else _words(group / file)
        return {name: int(count) for name, count in zip(words[::2], words[1::2], strict=False) if count.isdecimal()}

    def end(self, leader: int) -> None:
        """Kill what is left in the group of a job (version 2 can), and remove it; what is busy goes later."""
        group = self._groups.pop(leader, None)
        if group is None:
            return
        with contextlib.suppress(OSError):
            if (group / "cgroup.kill").exists():
                (group / "cgroup.kill").write_text("1")
        try:
            group.rmdir()
        except OSError:
            self._sweep(group.parent)

    @staticmethod
    def _sweep(base: Path) -> None:
        """Remove groups that nothing runs in any more, also of an agent that was killed."""
        for left in base.glob(f"{_PREFIX}job-*"):
            with contextlib.suppress(OSError):
                left.rmdir()


def why_no_groups(controller: str = PIDS) -> str | None:
    """Return why this process can make no groups, None when it can; nothing is changed."""
    try:
        _try(_own_group(controller)[0])
    except OSError as error:
        return _reason(error, controller)
    return None


def _limits_of_processes(most: int | None) -> Mapping[str, str]:
    return {} if most is None else {"pids.max": str(most)}


def _limits_of_memory(most: int | None) -> Mapping[str, str]:
    """Out of memory, all processes of a job are killed: the rest would go on without those that were."""
    return {} if most is None else {"memory.max": str(most), "memory.oom.group": "1"}


def _try(base: Path) -> None:
    probe = base / f"{_PREFIX}probe-{os.getpid()}"
    probe.mkdir()
    probe.rmdir()


def _reason(error: OSError, controller: str) -> str:
    return f"{error.filename or controller}: {error.strerror or error}"


def _own_group(controller: str) -> tuple[Path, bool]:
    """Return the directory of this process's group that counts ``controller``, and whether it is of version 2."""
    told = _OWN.read_text(encoding="ascii", errors="replace")
    for unified in (True,) if controller == MEMORY else (False, True):
        path = path_of_group(told, "" if unified else controller)
        if path is None:
            continue
        inside = path.lstrip("/") if ".." not in path else ""
        base = _MOUNT if unified else _MOUNT / controller
        for place in (base / inside, base, *([_MOUNT / "unified" / inside] if unified else [])):
            with contextlib.suppress(OSError):
                # A container sees its own group as the root of the mount, whatever path the kernel tells.
                if os.getpid() in _members(place) and (
                    not unified or controller in _words(place / "cgroup.controllers")
                ):
                    return place, unified
    raise FileNotFoundError(2, "this process is in no control group that counts them", controller)


def _step_aside(base: Path, controller: str, more: Iterable[str]) -> set[str]:
    """Move into a group below ``base`` and let ``base`` share out ``controller``; as before where that fails.

    Returns what is shared out of ``more``.
    """
    own = base / f"{_PREFIX}agent-{os.getpid()}"
    own.mkdir()
    try:
        _write(own / "cgroup.procs", os.getpid())
        (base / "cgroup.subtree_control").write_text(f"+{controller}")
    except OSError:
        with contextlib.suppress(OSError):
            _write(base / "cgroup.procs", os.getpid())
            own.rmdir()
        raise
    shared = set()
    for name in more:
        with contextlib.suppress(OSError):  # it is not delegated
            (base / "cgroup.subtree_control").write_text(f"+{name}")
            shared.add(name)
    return shared


def _members(group: Path) -> set[int]:
    return {int(word) for word in _words(group / "cgroup.procs")}


def _words(path: Path) -> list[str]:
    return path.read_text(encoding="ascii", errors="replace").split()


def _write(path: Path, pid: int) -> None:
    path.write_text(f"{pid}\n")


#: Groups belong to the process, not to an object.
JOB_GROUPS = JobGroups()
