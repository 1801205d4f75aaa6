"""What lies below the environments' directory: each build with its size and last use, and what may go."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.environments import compiled_output
from agent.environments.layout import Layout
from agent.environments.lock import BuildLocks
from agent.environments.marker import LAST_USED, MARKER, read_marker
from agent.environments.sweep import remove_tree
from agent.errors import EnvironmentFailed

log = logging.getLogger(__name__)

_BUILD = re.compile(r"\.(?P<name>.+)\.(?:[0-9a-f]{12}-[0-9a-f]{6}|replaced-[0-9a-f]{6})")
_COMPILED = re.compile(r"\.(?P<name>.+)\.compiled")
#: Agents note about once an hour what they use: what was noted within two may run right now.
IN_USE = 7200.0


@dataclass(frozen=True)
class BuiltEnvironment:
    """One build, or what was compiled from one action (``compiled``).

    ``current``: the documented name points to it. ``complete`` is false for an attempt that nobody finished, or that is
    under way. ``last_used`` is in seconds since 1970, None where nothing tells.
    """

    pack: str
    name: str
    path: Path
    size: int
    last_used: float | None
    current: bool
    complete: bool
    built_from: str | None = None
    compiled: bool = False


def inventory(runtime_envs_dir: Path) -> list[BuiltEnvironment]:
    """Return every build, by pack and name; what vanishes meanwhile is left out."""
    found = []
    for pack in _folders(runtime_envs_dir):
        for build in _folders(pack, hidden=True):
            if match := _BUILD.fullmatch(build.name):
                with contextlib.suppress(OSError, EnvironmentFailed):
                    layout = Layout(runtime_envs_dir, pack.name, match["name"])
                    found.append(_described(layout, build, match["name"]))
            elif match := _COMPILED.fullmatch(build.name):
                found += [_output(pack.name, match["name"], path) for path in compiled_output.outputs(build)]
    return found


def prune(
    runtime_envs_dir: Path,
    *,
    keep_unused: float,
    max_bytes: int = 0,
    now: float | None = None,
) -> list[BuiltEnvironment]:
    """Remove what no execution can be using and return it.

    First replaced builds and compiled actions that nobody has used for ``keep_unused`` seconds and attempts that died;
    then, while all together are larger than ``max_bytes`` (0: no limit), what was used longest ago. Whatever was used
    within the last two hours stays.
    """
    at = time.time() if now is None else now
    for rest_of_pack in runtime_envs_dir.glob(".removed-*"):
        remove_tree(rest_of_pack)
    known = inventory(runtime_envs_dir)
    removed = [item for item in known if _is_dead(item, at, keep_unused)]
    if max_bytes:
        rest = sorted((item for item in known if item not in removed), key=lambda item: item.last_used or 0.0)
        size = sum(item.size for item in rest)
        for item in rest:
            if size <= max_bytes:
                break
            if at - (item.last_used or at) > IN_USE:
                removed.append(item)
                size -= item.size
    return [item for item in removed if _remove(runtime_envs_dir, item)]


def _described(layout: Layout, build: Path, name: str) -> BuiltEnvironment:
    marker = read_marker(build)
    version = marker.inputs.get("version") if marker is not None else None
    return BuiltEnvironment(
        pack=layout.pack.name,
        name=name,
        path=build,
        size=size_of(build),
        last_used=_last_used(build),
        current=layout.current() == build,
        complete=marker is not None,
        built_from=str(version) if version else None,
    )


def _output(pack: str, name: str, path: Path) -> BuiltEnvironment:
    return BuiltEnvironment(
        pack=pack,
        name=name,
        path=path,
        size=size_of(path),
        last_used=compiled_output.last_used(path),
        current=False,
        complete=compiled_output.is_complete(path),
        compiled=True,
    )


def _is_dead(item: BuiltEnvironment, at: float, keep_unused: float) -> bool:
    unused = at - (item.last_used or at)
    if not item.complete:
        return unused > IN_USE
    return not item.current and unused > max(keep_unused, IN_USE)


def _remove(runtime_envs_dir: Path, item: BuiltEnvironment) -> bool:
    """Remove one build under its lock, unless somebody builds there right now or has used it since it was listed."""
    try:
        layout = Layout(runtime_envs_dir, item.pack, item.name)
        lock = layout.compiled / compiled_output.LOCK if item.compiled else layout.lock
        with BuildLocks(patience=1.0).hold(lock, lambda: False):
            used = compiled_output.last_used(item.path) if item.compiled else _last_used(item.path)
            if used != item.last_used:
                log.info("%s stays: it has been used meanwhile", item.path)
                return False
            if layout.current() == item.path:
                layout.link.unlink(missing_ok=True)
            (compiled_output.remove if item.compiled else remove_tree)(item.path)
    except (OSError, EnvironmentFailed) as error:
        log.info("%s stays: %s", item.path, error)
        return False
    log.info("removed %s (%d MB)", item.path, item.size // 1_000_000)
    return True


def _last_used(build: Path) -> float | None:
    for path in (build / LAST_USED, build / MARKER, build):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return None


def _folders(directory: Path, *, hidden: bool = False) -> Iterator[Path]:
    try:
        entries: Sequence[str] = sorted(os.listdir(directory))
    except OSError:
        return
    for entry in entries:
        path = directory / entry
        if entry.startswith(".") == hidden and path.is_dir() and not path.is_symlink():
            yield path


def size_of(directory: Path) -> int:
    """Bytes on the disk; a file with several names counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
    return total
