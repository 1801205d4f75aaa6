"""Read the version out of what an interpreter prints (pure)."""

from __future__ import annotations

import re

#: Hundreds of digits are no version, and ``int`` refuses thousands.
_SEMVER_LIKE = re.compile(r"(?:v|go)?(?<!\d)(\d{1,18}\.\d{1,18}(?:\.\d{1,18})?)(?!\d)", re.ASCII)
#: What makes it a pre-release, directly behind its numbers.
_SUFFIX = re.compile(r"(a|b|rc|dev|preview)(\d{0,4})(?![0-9A-Za-z])|-(rc|nightly|pre|beta|alpha|dev)[0-9A-Za-z.-]*")
_JAVA = re.compile(r'version\s+"([0-9][!#-~]{0,99})"')
#: A Ruby that names the Ruby it is compatible with.
_OTHER_RUBY = re.compile(
    r"(?:jruby \S+ \(|truffleruby\b.{0,60}?like ruby )(\d{1,18}\.\d{1,18}(?:\.\d{1,18})?)(?!\d)", re.ASCII
)
_R_UNDER_DEVELOPMENT = re.compile(r"version \S+ Under development", re.IGNORECASE)
#: Java says on stderr which variables it has read; their values may look like versions.
_BANNER = re.compile(r"^(?:Picked up |NOTE: Picked up ).*$", re.MULTILINE)


def parse_version_output(family: str, output: str) -> str | None:
    """Return the version in what an interpreter printed, None where there is none.

    A pre-release is written as Semantic Versioning does (``3.14.0-rc.1``), whatever the interpreter's own form, so that
    every program that compares versions knows it for one. Java's own text stays.
    """
    text = _BANNER.sub("", output)
    if family == "java" and (quoted := _JAVA.search(text)):
        return quoted[1]
    if family == "ruby" and (other := _OTHER_RUBY.search(text)):
        return other[1]
    found = _SEMVER_LIKE.search(text)
    if found is None:
        return None
    if family == "r" and _R_UNDER_DEVELOPMENT.search(text):
        return f"{_full(found[1])}-dev"
    suffix = _SUFFIX.match(text, found.end()) if family not in ("shell", "java") else None
    return found[1] if suffix is None else f"{_full(found[1])}-{_pre(suffix)}"


def _pre(suffix: re.Match[str]) -> str:
    from agent.versions.prerelease import prerelease_text

    return prerelease_text(suffix[1], suffix[2]) if suffix[1] else suffix[0].lstrip("-")


def _full(numbers: str) -> str:
    return numbers if numbers.count(".") == 2 else f"{numbers}.0"
