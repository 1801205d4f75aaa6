"""Remove what no execution can be using: abandoned attempts at once, superseded builds after a long time unused.

Nobody can tell across containers whether a process still runs from a build, so age decides: every agent notes about
once an hour which builds it uses.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.environments.layout import Layout
from agent.environments.marker import LAST_USED, MARKER

log = logging.getLogger(__name__)

#: Seconds after its last use that a superseded build is kept.
KEEP_SUPERSEDED = 7 * 86400.0


def sweep(layout: Layout, keep: Path | None, *, now: Callable[[], float] = time.time) -> list[Path]:
    """Remove builds of ``layout`` other than ``keep``; only the holder of its lock may call this.

    Without a marker it is an attempt that nobody is working on, because working on one takes the lock.
    """
    removed = []
    current = layout.current()
    for build in layout.builds():
        if build in (keep, current) or not _dead(build, now()):
            continue
        log.info("removing %s", build)
        remove_tree(build)
        removed.append(build)
    return removed


def remove_pack(runtime_envs_dir: Path, pack_directory: Path) -> None:
    """Remove all environments of a pack: out of sight in one step, then from the disk as far as possible.

    Raises:
        OSError: the directory can't be moved.
    """
    aside = runtime_envs_dir / f".removed-{pack_directory.name}-{secrets.token_hex(3)}"
    try:
        os.rename(pack_directory, aside)
    except FileNotFoundError:
        return
    remove_tree(aside)


def remove_tree(path: Path) -> None:
    """Delete ``path`` as far as possible, read-only directories (Go's module cache) included."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return
    # First of all it must stop being an environment.
    (path / MARKER).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        return
    for folder, _, _ in os.walk(path):
        _try(os.chmod, folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        log.warning("can't remove all of %s", path)


def _dead(build: Path, now: float) -> bool:
    replaced = ".replaced-" in build.name
    if not replaced and not (build / MARKER).exists():
        return True
    try:
        return now - (build if replaced else build / LAST_USED).stat().st_mtime > KEEP_SUPERSEDED
    except OSError:
        return False


def _try(function: Callable[..., Any], *arguments: Any) -> None:
    try:
        function(*arguments)
    except OSError as error:
        log.debug("%s: %s", function.__name__, error)
