"""Find programs by looking at files; nothing is executed here, and the search path is handed in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from agent.runtimes.shims import follow

#: What a process without PATH gets: the usual places, in the usual order.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Family(NamedTuple):
    """One language.

    ``binaries`` are the programs that run it, the first usable one wins; ``versioned`` matches the names of others
    (``python3.12``); ``homes`` are patterns of directories beside PATH; ``tools`` is what version managers call it.
    """

    name: str
    binaries: tuple[str, ...]
    version_arguments: tuple[str, ...] = ("--version",)
    versioned: str = ""
    homes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


#: The order is that of every report and of the advertised runtimes.
FAMILIES = (
    Family("shell", ("bash", "sh")),
    Family("python", ("python3", "python"), versioned=r"python3\.\d{1,2}t?", tools=("python",)),
    Family("node", ("node", "nodejs"), versioned=r"node(?:js)?-?\d{2}", tools=("node", "nodejs")),
    Family("ruby", ("ruby",), versioned=r"ruby-?\d\.?\d", tools=("ruby",)),
    Family(
        "go",
        ("go",),
        ("version",),
        versioned=r"go1\.\d{1,2}(?:\.\d{1,2})?",
        homes=("/usr/lib/go-*/bin",),
        tools=("go", "golang"),
    ),
    Family("java", ("java",), ("-version",), homes=("/usr/lib/jvm/*/bin",), tools=("java",)),
    Family("r", ("Rscript",), tools=("R", "r")),
    Family("perl", ("perl",), versioned=r"perl5\.\d{1,2}\.\d{1,2}", tools=("perl",)),
)


def family_of(name: str) -> Family | None:
    """Return the family of a canonical name, None for a language that isn't detected."""
    return next((family for family in FAMILIES if family.name == name), None)


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
