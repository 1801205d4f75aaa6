"""One version: Semantic Versioning 2.0.0, read leniently (``3.12``, ``v20``), with ordered build metadata (pure).

What Semantic Versioning refuses is read as its vendor means it (``vendors.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, total_ordering

from agent.errors import VersionError
from agent.versions.reader import Reader
from agent.versions.vendors import is_legacy_java, read_vendor

_LARGEST_COLUMN = 2**31 - 1


@total_ordering
@dataclass(frozen=True)
class Version:
    """A full version; ``pre`` and ``build`` are without their ``-`` and ``+``."""

    major: int
    minor: int = 0
    patch: int = 0
    pre: str = ""
    build: str = ""
    _key: tuple[object, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep the sort key: a version is compared far more often than it is made."""
        object.__setattr__(self, "_key", (*self.numbers, prerelease_key(self.pre), _build_key(self.build)))

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return self.major, self.minor, self.patch

    def __lt__(self, other: object) -> bool:
        """Order as Semantic Versioning does, then by build metadata."""
        return self._key < other._key if isinstance(other, Version) else NotImplemented

    def __str__(self) -> str:
        """Write it in full."""
        text = ".".join(map(str, self.numbers))
        return text + (f"-{self.pre}" if self.pre else "") + (f"+{self.build}" if self.build else "")


def prerelease_key(pre: str) -> tuple[object, ...]:
    """Return what orders pre-releases: numbers before words, and the release itself (empty) last."""
    if not pre:
        return (1,)
    return 0, tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split("."))


def _build_key(build: str) -> tuple[object, ...]:
    """As pre-releases; of equal numbers the one with more leading zeros is later, so no two texts are equal."""
    parts = build.split(".") if build else []
    return tuple((0, int(part), len(part), "") if part.isdigit() else (1, 0, 0, part) for part in parts)


@lru_cache(maxsize=4096)
def parse_version(text: str, language: str | None = None) -> Version:
    """Read a version; missing components are zero, a fourth and later ones are dropped.

    ``language`` is the canonical name of the runtime that it belongs to, where that is known: Java's ``1.N`` is ``N``.

    Raises:
        VersionError: it isn't one; the message points at the offending character.
    """
    version = _parse(text)
    if language == "java" and not is_legacy_java(text):
        return _modern_java(version)
    return version


def _parse(text: str) -> Version:
    plain = text.strip()
    start = text.find(plain) if plain else len(text)
    if plain[:1] in ("v", "V"):
        plain, start = plain[1:], start + 1
    try:
        return _read(Reader(plain, "version", text, start))
    except VersionError as error:
        parts = plain.split(".")
        padded = ".".join([*parts, "0", "0"][:3])
        try:
            return _read(Reader(padded, "version", text, start))
        except VersionError:
            parts_of_vendor = read_vendor(plain)
            if parts_of_vendor is None:
                raise error from None
            return Version(*parts_of_vendor.numbers, parts_of_vendor.pre, parts_of_vendor.build)


def _modern_java(version: Version) -> Version:
    """``1.8.2`` is Java 8: the first number of Java before 9 says nothing."""
    if version.major != 1 or not version.minor:
        return version
    return Version(version.minor, version.patch, 0, version.pre, version.build)


def _read(reader: Reader) -> Version:
    numbers = [reader.number()]
    for _ in range(2):
        if not reader.take("."):
            raise reader.fail("expected a dot")
        numbers.append(reader.number())
    pre, build = reader.prerelease(), reader.build()
    reader.end()
    return Version(numbers[0], numbers[1], numbers[2], pre, build)


def components(text: str) -> tuple[int | None, int | None, int | None]:
    """Return major, minor and patch as rows hold them.

    All are None when ``text`` isn't a version; one is None when an INT column can't hold it.
    """
    try:
        numbers = parse_version(text).numbers
    except VersionError:
        return None, None, None
    major, minor, patch = (number if number <= _LARGEST_COLUMN else None for number in numbers)
    return major, minor, patch
