"""The files by which a worker sees that it shares a directory with the server: then it moves no files over HTTP."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from agent.paths import ARTIFACTS_SENTINEL, PACKS_SENTINEL
from agent.settings import Settings

log = logging.getLogger(__name__)


def write_sentinels(settings: Settings, url: str) -> None:
    """Write them into the directories that are there; ``transport: api`` says that no worker shares one."""
    places = (
        (settings.artifacts.transport, settings.artifacts_dir / ARTIFACTS_SENTINEL),
        (settings.packs.transport, settings.packs_base_dir / PACKS_SENTINEL),
    )
    for transport, sentinel in places:
        if transport != "api" and sentinel.parent.is_dir():
            _write(sentinel, url)


def _write(sentinel: Path, url: str) -> None:
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=sentinel.name, dir=sentinel.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)
            file.write(f"{url}\n")
        Path(temporary).replace(sentinel)
    except OSError as error:
        log.warning(
            "can't write %s, so workers take %s for one that they don't share: %s",
            sentinel,
            sentinel.parent,
            error.strerror or error,
        )
