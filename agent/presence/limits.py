"""What this container may use, read from its control groups (version 1 or 2), and how many slots that carries."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.process.own_group import path_of_group

#: cgroup v1 says "no limit" with a number close to 2**63.
_UNLIMITED = 1 << 60
_SLOTS_PER_CPU = 4
#: What the agent itself needs, and what one execution is reckoned with.
_AGENT_BYTES = 64 << 20
_SLOT_BYTES = 64 << 20
_MOST_SLOTS = 100


@dataclass(frozen=True)
class Limits:
    """``cpus`` in processors' worth of time, ``memory`` in bytes; None where there is no limit."""

    cpus: float | None = None
    memory: int | None = None

    def __str__(self) -> str:
        """Say it for the log."""
        cpus = "any processor" if self.cpus is None else f"{self.cpus:g} CPUs"
        return cpus + (", any memory" if self.memory is None else f", {self.memory >> 20} MiB")

    def as_capability(self) -> dict[str, float | int]:
        """Return what a worker advertises: limits that there are."""
        found = {"cpus": self.cpus, "memory_bytes": self.memory}
        return {name: value for name, value in found.items() if value is not None}


def read_limits(root: Path = Path("/")) -> Limits:
    """Return the tightest limits of this process's group and those above it; what can't be read is no limit."""
    unified = (root / "sys/fs/cgroup/cgroup.controllers").exists()
    quotas = [_quota(group, unified=unified) for group in _groups(root, "cpu", unified=unified)]
    name = "memory.max" if unified else "memory.limit_in_bytes"
    sizes = [_number(_text(group / name)) for group in _groups(root, "memory", unified=unified)]
    return Limits(
        cpus=min((quota for quota in quotas if quota is not None), default=None),
        memory=min((size for size in sizes if size is not None), default=None),
    )


def slots_for(limits: Limits, processors: int) -> int:
    """Return ``min(4 x CPUs, (memory - 64 MiB) / 64 MiB)``, at least 1 and at most 100 (pure).

    CPUs are the limit, or the machine's ``processors`` where there is none or a wider one; memory counts where it is
    limited.
    """
    cpus = processors if limits.cpus is None else min(limits.cpus, processors)
    slots = math.floor(_SLOTS_PER_CPU * cpus)
    if limits.memory is not None:
        slots = min(slots, (limits.memory - _AGENT_BYTES) // _SLOT_BYTES)
    return max(1, min(slots, _MOST_SLOTS))


def _quota(group: Path, *, unified: bool) -> float | None:
    if unified:
        quota, _, period = _text(group / "cpu.max").partition(" ")
    else:
        quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    allowed, interval = _number(quota), _number(period)
    return allowed / interval if allowed and interval else None


def _groups(root: Path, controller: str, *, unified: bool) -> Iterator[Path]:
    """Yield the directory of this process's group, then those of the groups around it.

    A container sees its own group as the root of the mount, whatever path the kernel tells.
    """
    base = root / "sys/fs/cgroup" if unified else root / "sys/fs/cgroup" / controller
    path = path_of_group(_text(root / "proc/self/cgroup"), "" if unified else controller)
    told = PurePosixPath((path or "").lstrip("/"))
    group = base if ".." in told.parts or not (base / told).is_dir() else base / told
    yield group
    while group != base:
        group = group.parent
        yield group


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) < _UNLIMITED else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
