"""Find programs by looking at files; nothing is executed here, and the search path is handed in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from agent.runtimes.shims import follow

#: What a process without PATH gets: the usual places, in the usual order.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str, search_path: str | None, env: Mapping[str, str] | None = None) -> str | None:
    """Return where ``name`` is: itself when it holds a slash and can be executed, else the first hit on the path.

    With ``env`` a version manager's shim counts as the program that it starts, and one that starts none is no hit.
    """
    if "/" in name:
        return name if is_program(name) else None
    return next(programs(name, search_path, env), None)


def programs(name: str, search_path: str | None, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield all hits on the path, in its order."""
    for directory in search_directories(search_path):
        path = os.path.join(directory, name)
        if not is_program(path):
            continue
        shim = None if env is None else follow(path, env)
        if shim is None:
            yield path
        elif shim.program is not None:
            yield shim.program


def search_directories(search_path: str | None) -> Iterator[str]:
    """Yield the absolute entries of PATH, each once.

    Relative and empty entries mean the working directory, which for a job is its pack: what stands there isn't an
    interpreter of this machine.
    """
    entries = (DEFAULT_PATH if search_path is None else search_path).split(":")
    yield from dict.fromkeys(entry for entry in entries if entry.startswith("/"))


def is_program(path: str) -> bool:
    """Whether ``path`` is a regular file that we may execute."""
    return os.path.isfile(path) and os.access(path, os.X_OK)
