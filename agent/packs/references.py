"""What refs, versions and names must look like: the CHECKs of the schema, said before the database says them (pure)."""

from __future__ import annotations

import re

_PACK = re.compile(r"[a-z][a-z0-9_-]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_RUNTIME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+")
_SEMVER = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?", re.ASCII)


def wrong_pack_ref(ref: str) -> str | None:
    """Say what is wrong with a pack's ref; None when nothing is."""
    if _PACK.fullmatch(ref):
        return None
    return f"{ref!r} must be two or more small letters, digits, _ or -, beginning with a letter, without dots"


def wrong_pack_version(version: str) -> str | None:
    """Say what is wrong with a pack's version; None when nothing is."""
    return None if _SEMVER.fullmatch(version) else f"{version!r} must be a semantic version such as 1.0.0"


def wrong_component_ref(ref: str, pack_ref: str) -> str | None:
    """Say what is wrong with the ref of an action, sensor or trigger of a pack; None when nothing is."""
    owner, dot, name = ref.partition(".")
    if not dot or not _NAME.fullmatch(name):
        return f"{ref!r} must be <pack>.<name> in small letters, digits, _ or -, with one dot"
    return None if not pack_ref or owner == pack_ref else f"{ref!r} must begin with {pack_ref}."


def wrong_runtime_ref(ref: str, pack_ref: str) -> str | None:
    """Say what is wrong with the ref of a pack's runtime; None when nothing is."""
    if not _RUNTIME.fullmatch(ref):
        return f"{ref!r} must be <pack>.<name> in small letters, digits, _ or -"
    return None if not pack_ref or ref.startswith(f"{pack_ref}.") else f"{ref!r} must begin with {pack_ref}."
