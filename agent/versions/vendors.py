"""Versions that are no Semantic Versioning: Python's (``3.13.0rc2``), Java's (``1.8.0_392``), and others (pure).

``packaging`` reads what Python's rules allow; what it refuses is read here: ``21-ea``, ``3.13t``, ``go1.26rc1``,
``4.5.0 Under development``, ``jruby 9.4.5.0 (3.1.4)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from agent.versions.prerelease import SUFFIX, is_prerelease_word, prerelease_text

_LARGEST = 2**64 - 1
_LONGEST = 200

#: Java before 9: 1.8.0_392 is Java 8, update 392.
_JAVA_UPDATE = re.compile(r"1\.([0-9]{1,3})\.([0-9]{1,6})_([0-9]{1,9})(?:-(.*))?", re.DOTALL)
#: Rubies that name the Ruby they are compatible with.
_COMPATIBLE = re.compile(r"(?:jruby\s+\S{1,40}\s+\(|truffleruby\b.{0,60}?\blike ruby\s+)([0-9][0-9A-Za-z.-]{0,40})")
_PREFIX = re.compile(r"(devel )?(?:go|jdk-?)?(?=[0-9])")
_RELEASE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20}){0,5})(.*)", re.DOTALL)
_IDENTIFIERS = re.compile(r"[0-9A-Za-z-]+")


@dataclass(frozen=True)
class Parts:
    """A version in the parts of Semantic Versioning."""

    numbers: tuple[int, int, int]
    pre: str = ""
    build: str = ""


def is_legacy_java(text: str) -> bool:
    """Whether ``text`` is a Java version of the form ``1.8.0_392``, which no other language has."""
    return _JAVA_UPDATE.fullmatch(text.strip()) is not None


def read_vendor(text: str) -> Parts | None:
    """Read ``text``, None when nobody writes versions so."""
    if len(text) > _LONGEST:
        return None
    compatible = _COMPATIBLE.match(text)
    if compatible is not None:
        text = compatible[1]
    prefix = _PREFIX.match(text)
    if prefix is None:
        return None
    found = _java(text) or _python(text) or _other(text[prefix.end() :], named=bool(prefix[0] or compatible))
    return replace(found, pre="dev") if found is not None and prefix[1] else found


def _java(text: str) -> Parts | None:
    match = _JAVA_UPDATE.fullmatch(text)
    if match is None:
        return None
    rest = match[4] or ""
    pre, build = (rest, "") if is_prerelease_word(rest) else ("", rest)
    return Parts((int(match[1]), int(match[2]), int(match[3])), _clean(pre), _clean(build))


def _python(text: str) -> Parts | None:
    """Read what PEP 440 allows, except epochs."""
    from packaging.version import InvalidVersion, Version

    try:
        found = Version(text)
    except InvalidVersion:
        return None
    if found.epoch or max(found.release) > _LARGEST:
        return None
    pre = prerelease_text(found.pre[0], str(found.pre[1])) if found.pre else ""
    if found.dev is not None:
        # Below its own pre-release, and below every pre-release where it leads to the release itself.
        word, _, number = pre.partition(".")
        pre = f"{word}.0.{number}.dev.{found.dev}" if pre else f"0.dev.{found.dev}"
    build = ".".join(filter(None, (f"post.{found.post}" if found.post is not None else "", found.local or "")))
    return Parts(_three(found.release), pre, build)


def _other(text: str, *, named: bool) -> Parts | None:
    match = _RELEASE.fullmatch(text)
    if match is None:
        return None
    numbers = tuple(int(number) for number in match[1].split("."))
    if max(numbers) > _LARGEST:
        return None
    rest = match[2]
    if not rest:  # what is only numbers and was refused before stays refused
        return Parts(_three(numbers)) if named else None
    suffix = SUFFIX.match(rest)
    if suffix is not None:
        return Parts(_three(numbers), prerelease_text(suffix[1], suffix[2]), _clean(rest[suffix.end() :]))
    if rest in ("t", "t+", "+"):  # a free-threaded Python; one that was built from a checkout
        return Parts(_three(numbers), build="t" if rest[0] == "t" else "dev")
    if rest[0] not in "-_~+ ":
        return None
    words = rest.lstrip("-_~+ (")
    if is_prerelease_word(words):
        word, _, build = words.partition("+")
        return Parts(_three(numbers), _pre(word), _clean(build))
    return Parts(_three(numbers), build=_clean(words)) if _IDENTIFIERS.match(words) else None


def _pre(text: str) -> str:
    """``ea`` of ``ea``, ``beta.3`` of ``beta3``, ``dev`` of ``Under development (unstable)``."""
    suffix = SUFFIX.match(text)
    if suffix is not None:
        return prerelease_text(suffix[1], suffix[2])
    found = _IDENTIFIERS.match(text)
    first = found[0] if found else text
    word, _, rest = first.partition("-")
    return _clean(".".join(filter(None, (prerelease_text(word), rest))))


def _three(numbers: tuple[int, ...]) -> tuple[int, int, int]:
    first, second, third = (*numbers, 0, 0)[:3]
    return first, second, third


def _clean(text: str) -> str:
    """Return ``text`` as dot-separated identifiers; numbers lose their leading zeros."""
    found = _IDENTIFIERS.findall(text)
    return ".".join(str(int(part)) if part.isdigit() else part for part in found)
