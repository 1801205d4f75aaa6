"""Who we are and what the kernel allows: identity, HOME, capabilities, seccomp, control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.doctor.finding import Finding, fine, unknown, warn
from agent.process.control_group import why_no_groups
from agent.settings import LimitSettings

_MEGABYTE = 1024 * 1024
#: What an agent and one small job need together.
_LOW_MEMORY = 128 * _MEGABYTE
_LOW_PIDS = 64
#: cgroup v1 says "no limit" with a number close to 2**63.
_UNLIMITED = 1 << 60


def check_container(environ: Mapping[str, str], root: Path = Path("/")) -> Iterator[Finding]:
    """Read what /proc and /sys say; ``root`` is the directory that holds them."""
    yield fine("identity", f"UID {os.geteuid()}, GID {os.getegid()}, PID {os.getpid()}")
    yield _home(environ)
    status = _fields(root / "proc/self/status")
    yield _capabilities(status)
    yield _seccomp(status)
    yield from _control_group(root)


def check_limits(limits: LimitSettings) -> Iterator[Finding]:
    """Say which of the limits of jobs can't be kept."""
    if limits.processes is not None and (why := why_no_groups()) is not None:
        remedy = "limit the container (--pids-limit, podPidsLimit), or delegate its control group to the agent"
        yield warn("limits", f"worker.limits.processes can't be kept, no job can have a control group: {why}", remedy)


def _home(environ: Mapping[str, str]) -> Finding:
    home = environ.get("HOME", "")
    if home and os.path.isdir(home) and os.access(home, os.W_OK):
        return fine("home", home)
    detail = f"{home} can't be written" if home else "HOME is not set"
    return warn("home", f"{detail}: tools that keep a cache there may fail", "set HOME to a writable directory")


def _fields(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _capabilities(status: Mapping[str, str]) -> Finding:
    if "CapEff" not in status:
        return unknown("capabilities", "/proc is not mounted")
    held = int(status["CapEff"], 16)
    detail = "none" if held == 0 else f"{held:#x}"
    if status.get("NoNewPrivs") == "1":
        detail += ", no new privileges (sudo won't work in actions)"
    return fine("capabilities", detail)


def _seccomp(status: Mapping[str, str]) -> Finding:
    modes = {"0": "off", "1": "strict", "2": "filter"}
    if "Seccomp" not in status:
        return unknown("seccomp", "the kernel doesn't report it")
    return fine("seccomp", modes.get(status["Seccomp"], status["Seccomp"]))


def _control_group(root: Path) -> Iterator[Finding]:
    base = root / "sys/fs/cgroup"
    unified = (base / "cgroup.controllers").exists()
    if not unified and not (base / "memory").is_dir():
        yield unknown("cgroup", "no control groups are mounted: limits can't be read")
        return
    yield fine("cgroup", "version 2" if unified else "version 1")
    memory = _number(base / ("memory.max" if unified else "memory/memory.limit_in_bytes"))
    yield _memory(memory)
    if unified:
        yield _oom_group(base / "memory.oom.group")
    yield _pids(_number(base / ("pids.max" if unified else "pids/pids.max")))


def _memory(limit: int | None) -> Finding:
    if limit is None:
        return fine("memory", "no limit")
    detail = f"limit {limit // _MEGABYTE} MB"
    if limit < _LOW_MEMORY:
        return warn("memory", detail, f"allow at least {_LOW_MEMORY // _MEGABYTE} MB")
    return fine("memory", detail)


def _oom_group(path: Path) -> Finding:
    if _text(path) == "1":
        detail = "memory.oom.group is 1: one action that runs out of memory kills the whole container"
        return warn("oom", detail, "Kubernetes: set singleProcessOOMKill in the kubelet; else limit memory per action")
    return fine("oom", "the kernel kills one process, not the container")


def _pids(limit: int | None) -> Finding:
    if limit is not None and limit < _LOW_PIDS:
        return warn("pids", f"at most {limit} processes and threads", f"raise the limit to {_LOW_PIDS} or more")
    return fine("pids", "no limit" if limit is None else f"at most {limit} processes and threads")


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() and int(text) < _UNLIMITED else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
