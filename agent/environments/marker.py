"""The file that makes a directory an environment: written last, and only when every step succeeded."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.environments.fingerprint import Fingerprint
from agent.reading.json_text import read_json
from agent.reading.regular_files import read_regular, read_regular_text

MARKER = ".attune_environment.json"
#: What Attune's other workers read: the hex SHA-256 of the manifest that was installed.
INSTALLED = ".attune_deps_installed"
#: Its modification time tells when an agent last used the build; touched about once an hour.
LAST_USED = ".attune_last_used"
#: Seconds between two notes that something is in use.
TOUCH_EVERY = 3600.0
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class RunExtras:
    """What the actions of a build need beyond the runtime's definition: variables, and arguments of the interpreter."""

    variables: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Marker:
    """What a build was made of; ``installed`` is the manifest's checksum, None where nothing was installed.

    ``extras`` are what its actions need.
    """

    fingerprint: str
    inputs: Mapping[str, object]
    installed: str | None
    extras: RunExtras = field(default_factory=RunExtras)


def write_marker(build: Path, fingerprint: Fingerprint, *, installed: bool, extras: RunExtras) -> None:
    """Declare ``build`` complete.

    Raises:
        OSError: a file can't be written; the build is then not complete.
    """
    checksum = fingerprint.manifest_checksum if installed else None
    if checksum is not None:
        (build / INSTALLED).write_text(checksum, encoding="utf-8")
    (build / LAST_USED).touch()
    content = {
        "fingerprint": fingerprint.digest,
        "inputs": fingerprint.inputs,
        "installed": checksum,
        "run_variables": dict(extras.variables),
        "run_arguments": list(extras.arguments),
        "built_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    temporary = build / f"{MARKER}.tmp"
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(temporary, build / MARKER)


def read_marker(build: Path) -> Marker | None:
    """Return what ``build`` was built from; None when it is incomplete, damaged or was changed by another worker.

    Another worker of the same volume installs a changed manifest into what it finds and writes its checksum.
    """
    try:
        data = read_json(read_regular(build / MARKER, _MOST_BYTES))
        variables = {str(name): str(value) for name, value in data.get("run_variables", {}).items()}
        extras = RunExtras(variables, tuple(map(str, data.get("run_arguments", ()))))
        marker = Marker(data["fingerprint"], dict(data["inputs"]), data["installed"], extras)
        installed = None
        with contextlib.suppress(FileNotFoundError):
            installed = read_regular_text(build / INSTALLED, _MOST_BYTES).strip()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return marker if installed == marker.installed else None


def built_at(build: Path | None) -> float:
    """Return when ``build`` was completed, in seconds since 1970; 0 where it was not."""
    try:
        return 0.0 if build is None else (build / MARKER).stat().st_mtime
    except OSError:
        return 0.0


def supersede(build: Path) -> None:
    """Let nobody take ``build`` any more, though it stays what it is for those who use it.

    Raises:
        OSError: its marker can't be written.
    """
    data = read_json(read_regular(build / MARKER, _MOST_BYTES))
    temporary = build / f"{MARKER}.tmp"
    temporary.write_text(json.dumps({**data, "fingerprint": "superseded"}), encoding="utf-8")
    os.replace(temporary, build / MARKER)


def touch_last_used(build: Path) -> None:
    """Note that the build is in use; a read-only volume keeps no note."""
    with contextlib.suppress(OSError):
        os.utime(build / LAST_USED)
