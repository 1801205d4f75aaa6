"""Find interpreters by looking at files; nothing is executed here, and the search path is handed in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: What a process without PATH gets: the usual places, in the usual order.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Family(NamedTuple):
    """One language: the programs that run it, the first found wins, and how to ask for the version."""

    name: str
    binaries: tuple[str, ...]
    version_arguments: tuple[str, ...] = ("--version",)


#: The order is that of every report and of the advertised runtimes.
FAMILIES = (
    Family("shell", ("bash", "sh")),
    Family("python", ("python3", "python")),
    Family("node", ("node", "nodejs")),
    Family("ruby", ("ruby",)),
    Family("go", ("go",), ("version",)),
    Family("java", ("java",), ("-version",)),
    Family("r", ("Rscript",)),
    Family("perl", ("perl",)),
)

#: Looked for in /bin first, whatever PATH says: scripts name them there.
_IN_BIN = ("bash", "sh")


class FoundInterpreter(NamedTuple):
    """An interpreter's file, as found (symbolic links unresolved)."""

    family: Family
    path: str


def find_interpreters(search_path: str | None, families: Sequence[Family] = FAMILIES) -> list[FoundInterpreter]:
    """Return at most one interpreter for each family, in the order of ``families``.

    ``search_path`` is the value of PATH, None where it isn't set.
    """
    directories = list(search_directories(search_path))
    found = []
    for family in families:
        path = next(_candidates(family, directories), None)
        if path is not None:
            found.append(FoundInterpreter(family, path))
    return found


def find_program(name: str, search_path: str | None) -> str | None:
    """Return where ``name`` is: itself when it holds a slash and can be executed, else the first hit on the path."""
    if "/" in name:
        return name if is_program(name) else None
    paths = (os.path.join(directory, name) for directory in search_directories(search_path))
    return next((path for path in paths if is_program(path)), None)


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


def _candidates(family: Family, directories: Sequence[str]) -> Iterator[str]:
    for binary in family.binaries:
        places = ["/bin", *directories] if binary in _IN_BIN else directories
        yield from (path for place in places if is_program(path := os.path.join(place, binary)))
