"""Names of runtimes: one canonical name per language, whatever it is called elsewhere (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.runtimes.languages import LANGUAGES, NATIVE, language_named

ALIASES = {language.name: language.aliases for language in LANGUAGES} | {"native": NATIVE}
_CANONICAL = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
_UNSAFE = re.compile(r"^[.-]|[^A-Za-z0-9._+-]")
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def normalize_runtime_name(name: str) -> str:
    """Return the canonical name (``nodejs`` → ``node``); an unknown one only loses white space and capitals."""
    plain = name.strip().translate(_ASCII_LOWER)
    return _CANONICAL.get(plain, plain)


def language_of(name: str, ref: str) -> str:
    """Return the language of a runtime row: by its name, else by the last part of its ref, else its own name."""
    known = (normalize_runtime_name(text) for text in (name, ref.rsplit(".", 1)[-1]))
    return next((language for language in known if language in ALIASES), normalize_runtime_name(name))


def environment_name(name: str, version: str | None = None) -> str:
    """Return the directory of a runtime's environments below their pack: ``node``, ``node-20``.

    Names and versions come from packs: what could leave the directory, or surprise a shell, becomes ``_``.

    Promise: environments have stable names.
    """
    text = normalize_runtime_name(name) + (f"-{version.strip()}" if version else "")
    return _UNSAFE.sub("_", text)


def default_aliases(name: str) -> tuple[str, ...]:
    """Return every name of the runtime's group, itself when there is no group."""
    canonical = normalize_runtime_name(name)
    return ALIASES.get(canonical, (canonical,))


def default_file_extension(name: str) -> str | None:
    """Return the extension of the language's files with its dot, None where none is known."""
    language = language_named(normalize_runtime_name(name))
    return None if language is None else language.extension


def display_name(name: str) -> str:
    """Return the name for people of a runtime that nobody described (``ruby`` → ``Ruby``)."""
    return name[:1].upper() + name[1:]


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the canonical names in order of their first appearance, without blanks."""
    return tuple(dict.fromkeys(normalize_runtime_name(name) for name in names if name.strip()))


def matches_filter(names: Iterable[str], allowed: Iterable[str]) -> bool:
    """Whether some name and some entry of the filter mean the same runtime; false when either is empty."""
    wanted = {normalize_runtime_name(entry) for entry in allowed}
    return any(normalize_runtime_name(name) in wanted for name in names)
