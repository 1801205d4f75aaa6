"""The bytes of an artifact's version: a file below the artifacts directory, or a column of its row."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import Conflict, NotFound, Overloaded
from agent.reading.beneath import Directory
from agent.reading.regular_files import open_regular

_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")
_LONGEST_REF, _LONGEST_ENDING = 150, 20


def file_name(ref: str, version: int, file_path: str | None) -> str:
    """Return what a version is called where it is saved: one plain name, whatever the row holds."""
    ending = os.path.splitext(file_path or "")[1][:_LONGEST_ENDING]
    return _NOT_IN_A_NAME.sub("_", f"{ref[:_LONGEST_REF]}.v{version}{ending}").lstrip(".") or "artifact"


def open_version(directory: Path, version: Mapping[str, Any]) -> int:
    """Open the bytes of a version to read them; whoever has the descriptor closes it. No link is followed.

    Raises:
        NotFound: there is no content, or its file is not below ``directory``.
        Conflict: the file is shorter than its row says: it is not whole.
        Overloaded: it can't be read now.
    """
    if not version["file_path"]:
        return _in_memory(_stored(version))
    descriptor = open_below(directory, version["file_path"])
    found, size = os.fstat(descriptor).st_size, version["size_bytes"]
    if size is not None and found < size:
        os.close(descriptor)
        raise Conflict(f"its file has {found} of {size} bytes: it is not whole")
    return descriptor


def open_below(directory: Path, file_path: str) -> int:
    """Open a file that a row names, to read it; whoever has the descriptor closes it. Raises NotFound, Overloaded."""
    try:
        with Directory(directory) as root:
            probe = root.open(file_path, os.O_PATH)
        try:
            return open_regular(f"/proc/self/fd/{probe}")
        finally:
            os.close(probe)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.EIO, errno.ESTALE):
            raise Overloaded("its file can't be read now") from None
        raise NotFound("its file is not here", hint="it may be on its way, or was removed") from None


def _stored(version: Mapping[str, Any]) -> bytes:
    if version["content"] is not None:
        return bytes(version["content"])
    if version["content_json"] is not None:
        return json.dumps(version["content_json"], ensure_ascii=False, separators=(",", ":")).encode()
    raise NotFound("this version has no content")


def _in_memory(content: bytes) -> int:
    descriptor = os.memfd_create("artifact")
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor
