"""Where the files that ship with the agent lie: in the source tree, in an installed wheel or in the frozen program."""

from __future__ import annotations

from pathlib import Path

#: Files that the server puts into directories which workers may share with it.
ARTIFACTS_SENTINEL, PACKS_SENTINEL = ".attune-api-sentinel", ".attune-packs-sentinel"


def shipped(name: str) -> Path:
    """Return the directory ``packs``, ``migrations`` or ``download`` that ships with this program.

    Raises:
        FileNotFoundError: this build does not carry it.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "data" / name, package.parent / name, package.parent / "deploy" / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"this build does not ship {name}/")


def shipped_zones() -> Path | None:
    """Return the archive of time zones that the one-file agent carries; None elsewhere: a package has them there."""
    archive = Path(__file__).resolve().parent / "data" / "zones.zip"
    return archive if archive.is_file() else None


def source_tree() -> Path | None:
    """Return the root of the source tree when the program runs from one, else None."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() and (root / "agent").is_dir() else None
