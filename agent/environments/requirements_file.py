"""What a requirements file of pip names: other files, local packages, and the distributions to be installed (pure).

Paths are returned as they are written, for the caller to resolve: an include is relative to its own file, everything
else to the directory that pip runs in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_OPTION = re.compile(
    r"(?P<long>--requirement|--constraint|--editable|--find-links)(?:\s*=\s*|\s+)(?P<a>\S.*)"
    r"|(?P<short>-[rcef])\s*=?\s*(?P<b>\S.*)"
)
_COMMENT = re.compile(r"(^|\s)#.*$")
_NAME = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)", re.DOTALL)
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tgz")

Kind = Literal["include", "local", "links", "requirement", "option"]


@dataclass(frozen=True)
class Entry:
    """One line: ``value`` is a path, or the whole requirement; ``name`` is the distribution where it is told."""

    kind: Kind
    value: str
    name: str = ""


def read_requirements(text: str) -> Iterator[Entry]:
    """Yield the entries of a file; comments and blank lines are none."""
    for line in _logical_lines(text):
        option = _OPTION.fullmatch(line)
        if option is not None:
            letter = (option["short"] or option["long"][1:])[1]
            value = (option["a"] or option["b"]).strip().strip("\"'")
            kinds: dict[str, Kind] = {"r": "include", "c": "include", "e": "local", "f": "links"}
            yield Entry(kinds[letter], _path(value) if letter == "e" else value)
        elif line.startswith("-"):
            yield Entry("option", line)
        else:
            yield _requirement(line)


def _requirement(line: str) -> Entry:
    named = _NAME.match(line)
    direct = re.match(r"[^@;]+@\s*(\S+)", line) if named else None
    target = direct[1] if direct else re.split(r"\s*;\s*|\s+--", line, maxsplit=1)[0].strip()
    if _is_local(target):
        return Entry("local", _path(target), named[1] if direct and named else "")
    conditional = ";" in line
    return Entry("requirement", line, named[1] if named and not conditional else "")


def _is_local(target: str) -> bool:
    if target.startswith("file:"):
        return True
    if "://" in target:
        return False
    return target.startswith((".", "/")) or "/" in target.split("[")[0] or target.lower().endswith(_ARCHIVES)


def _path(target: str) -> str:
    """The path of a local package, without extras and fragment."""
    plain = re.sub(r"^file:(//)?", "", target.split("#")[0].split(";")[0].strip())
    return re.sub(r"\[[^\]]*\]$", "", plain) or "."


def _logical_lines(text: str) -> Iterator[str]:
    joined = re.sub(r"\\\r?\n", " ", text.removeprefix("\ufeff"))
    for line in joined.splitlines():
        plain = _COMMENT.sub("", line).strip()
        if plain:
            yield plain
