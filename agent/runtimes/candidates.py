"""Which files of this machine may be interpreters; nothing is executed here.

Looked at are the plain names of each language along PATH, names with a version beside them (``python3.12``), the usual
homes of Java and Go, the directories of version managers that are on PATH, and the directories that an operator named.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from agent.runtimes.languages import LANGUAGES, Language
from agent.runtimes.probe import is_program, search_directories
from agent.runtimes.shims import follow

#: Looked for in /bin first, whatever PATH says: scripts name them there.
_IN_BIN = ("bash", "sh")
#: Interpreters of one language that are asked at most; a directory of thousands isn't one of interpreters.
_MOST = 40
#: A directory on PATH that belongs to one version: its siblings are the other versions.
_SIBLINGS = re.compile(r"(.+/(?:versions(?:/node)?|(?:installs|candidates|image)/[^/]+))/[^/]+/bin")
#: How version managers lay out their versions below their root.
_LAYOUTS = ("versions/*/bin", "versions/node/*/bin", "installs/{tool}/*/bin", "tools/image/{tool}/*/bin")
#: What an operator's directory may be: of programs, of versions, or a version manager's root.
_NAMED = ("", "bin", "*/bin", *_LAYOUTS, "candidates/{tool}/*/bin")


class Candidate(NamedTuple):
    """A file that may be an interpreter.

    ``path`` is as found, except that a shim is followed; ``plain`` when its name says no version. ``problem`` says why
    it need not even be asked.
    """

    family: Language
    path: str
    plain: bool = True
    problem: str = ""


def find_candidates(
    env: Mapping[str, str], families: Sequence[Language] = LANGUAGES, search_paths: Sequence[str] = ()
) -> list[Candidate]:
    """Return the candidates of each family in the order in which they are preferred, each real file once.

    ``env`` is the image's environment with its PATH; ``search_paths`` are directories that an operator named.
    """
    directories = list(search_directories(env.get("PATH")))
    found: list[Candidate] = []
    for family in families:
        seen: set[object] = set()
        mine = 0
        for candidate in _of(family, directories, env, search_paths):
            real = _identity(candidate.path)
            if real not in seen and mine < _MOST:
                seen.add(real)
                mine += 1
                found.append(candidate)
    return found


def _identity(path: str) -> object:
    """The file itself, whatever its name: links and hard links are one interpreter."""
    try:
        status = os.stat(path)
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _of(
    family: Language, directories: Sequence[str], env: Mapping[str, str], search_paths: Sequence[str]
) -> Iterator[Candidate]:
    for binary in family.binaries:
        places = ["/bin", *directories] if binary in _IN_BIN else directories
        for place in places:
            yield from _candidate(family, os.path.join(place, binary), env)
    named = [path for root in search_paths for layout in _NAMED for path in _expanded(root, layout, family)]
    for place in dict.fromkeys((*directories, *named)):
        if family.versioned:
            names = sorted(name for name in _entries(place) if re.fullmatch(family.versioned, name))
            for name in names:
                yield from _candidate(family, os.path.join(place, name), env, plain=False)
    for place in dict.fromkeys((*named, *_homes(family, directories))):
        for binary in family.binaries:
            yield from _candidate(family, os.path.join(place, binary), env, plain=False)


def _candidate(family: Language, path: str, env: Mapping[str, str], *, plain: bool = True) -> Iterator[Candidate]:
    if not is_program(path):
        return
    shim = follow(path, env)
    if shim is None:
        yield Candidate(family, path, plain)
    elif shim.program is not None:
        yield Candidate(family, shim.program, plain)
    elif shim.problem and plain:
        yield Candidate(family, path, plain, shim.problem)


def _homes(family: Language, directories: Iterable[str]) -> Iterator[str]:
    """Directories of further versions: fixed homes, and those of the version managers on PATH."""
    for directory in directories:
        siblings = _SIBLINGS.fullmatch(directory)
        if siblings:
            yield from _expanded(siblings[1], "*/bin", family)
        root, last = os.path.split(directory)
        if last in ("shims", "bin"):
            for layout in _LAYOUTS:
                yield from _expanded(root, layout, family)
    # These belong to the distribution: where its programs aren't on PATH, its languages aren't offered either.
    for pattern in family.homes if "/usr/bin" in directories else ():
        yield from _expanded("/", pattern.lstrip("/"), family)


def _expanded(root: str, layout: str, family: Language) -> Iterator[str]:
    """The existing directories that ``layout`` means below ``root``; ``{tool}`` is the family's name among managers."""
    for tool in family.tools if "{tool}" in layout else ("",):
        yield from _matching(root, [part for part in layout.replace("{tool}", tool).split("/") if part])


def _matching(root: str, parts: Sequence[str]) -> Iterator[str]:
    if not parts:
        yield root
        return
    part, rest = parts[0], parts[1:]
    if "*" not in part:
        if os.path.isdir(path := os.path.join(root, part)):
            yield from _matching(path, rest)
        return
    for name in fnmatch.filter(_entries(root), part)[:_MOST]:
        yield from _matching(os.path.join(root, name), rest)


def _entries(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
