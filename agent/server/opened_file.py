"""A file as an answer: whole, in parts (``Range``) or not again (``If-None-Match``); always the one that was opened.

It is opened before anything is said of it, and sent from that descriptor: one that is replaced meanwhile is still sent
whole, and its digest is that of the bytes that are sent.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from agent.reading.digest import digest_of
from agent.reading.regular_files import open_regular


@dataclass(frozen=True)
class OpenedFile:
    """A regular file that is open; whoever has it closes it. ``sha256`` is in hexadecimal."""

    descriptor: int
    found: os.stat_result
    sha256: str

    @property
    def etag(self) -> str:
        """The strong validator of its content (RFC 9110, 8.8.3)."""
        return f'"{self.sha256}"'

    def is_named_by(self, if_none_match: str) -> bool:
        """Whether the header ``If-None-Match`` names it: then it need not be sent."""
        names = [name.strip().removeprefix("W/") for name in if_none_match.split(",")]
        return self.etag in names or "*" in names

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)


def open_file(path: Path) -> OpenedFile:
    """Open a regular file and take its digest; what has not changed is read once.

    Raises:
        OSError: there is no regular file of this name, or it can't be read.
    """
    return opened(open_regular(path))


def opened(descriptor: int) -> OpenedFile:
    """Take the digest of an open file, which is closed with what is returned. Raises OSError."""
    try:
        found = os.fstat(descriptor)
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return OpenedFile(descriptor, found, _DIGESTS.of(descriptor, key))
    except BaseException:
        os.close(descriptor)
        raise


class _Digests:
    """Digests of files that were read before, by what changes when their content does; the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[tuple[int, ...], str] = {}

    def of(self, descriptor: int, key: tuple[int, ...]) -> str:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = digest_of(descriptor)
            while len(self._known) > self._most:
                self._known.pop(next(iter(self._known)), None)
        return known


_DIGESTS = _Digests(most=64)


class OpenedFileResponse(FileResponse):
    """Sends an opened file, and closes it whether or not the client stays."""

    def __init__(self, file: OpenedFile, name: str, headers: dict[str, str], media_type: str) -> None:
        """``name`` is what a browser saves it as."""
        self._file = file
        headers = {"ETag": file.etag, "X-Checksum-Sha256": file.sha256, **headers}
        path = f"/proc/self/fd/{file.descriptor}"
        super().__init__(path, 200, headers, media_type, filename=name, stat_result=file.found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the base class."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
