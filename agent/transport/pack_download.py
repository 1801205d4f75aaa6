"""Fetch the archive of one pack: resumed where it broke off, and believed only with the digest that was promised."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.parse import quote

from agent.counters import COUNTERS
from agent.errors import PackError, ServerUnavailable
from agent.transport.connection import ServerConnection

_CHUNK = 1 << 18
_ETAG = re.compile(r'(?:W/)?"([0-9a-f]{64})"')
_HEX = re.compile(r"[0-9a-f]{64}")


class Ended(Exception):
    """Nobody waits for the pack any longer."""


@dataclass
class PackDownload:
    """One archive on its way into ``file``; what has come is kept for the next attempt."""

    ref: str
    file: IO[bytes]
    known: Sequence[str]
    largest: int
    ended: Callable[[], bool]
    promised: str | None = None

    def attempt(self, connection: ServerConnection) -> str:
        """Fetch what is missing; return the digest of the pack's archive, which is one of ``known`` if nothing came.

        Raises:
            ServerUnavailable: the server is away or the connection broke: another attempt goes on from here.
            ServerError: it refused, with status 404 where the pack has no files.
            PackError: what came has another digest than was promised, or is larger than it may be.
            Ended: nobody waits for it.
        """
        url = f"/api/v1/internal/packs/{quote(self.ref, safe='')}/archive"
        with connection.answer("GET", url, headers=self._headers(), accepted=(304, 416)) as answer:
            if answer.status == 304:
                named = _named(answer)
                if named is not None and named in self.known:
                    return named
                raise ServerUnavailable(
                    f"the server answered that pack {self.ref} has not changed, but this worker doesn't have it"
                )
            if answer.status == 416:
                self._forget()
                raise ServerUnavailable(f"the archive of pack {self.ref} has changed while it was fetched")
            self._receive(answer)
        return self._checked()

    def _headers(self) -> dict[str, str]:
        have = self.file.seek(0, os.SEEK_END)
        if have and self.promised is not None:
            return {"Range": f"bytes={have}-", "If-Range": f'"{self.promised}"'}
        return {"If-None-Match": ", ".join(f'"{digest}"' for digest in self.known)} if self.known else {}

    def _receive(self, answer: HTTPResponse) -> None:
        goes_on = answer.status == 206 and _named(answer) == self.promised and self.promised is not None
        if goes_on:
            COUNTERS.add("attune_worker_transport_resumed_total", kind="pack")
        else:
            self._forget()
            self.promised = _named(answer)
        expected, received = answer.length, 0
        size = self.file.seek(0, os.SEEK_END)
        while chunk := self._read(answer):
            received += len(chunk)
            if size + received > self.largest:
                raise PackError(
                    f"the archive of pack {self.ref} has more than {self.largest} bytes",
                    hint="raise pack_upload.max_upload_size_bytes of this worker",
                )
            self.file.write(chunk)
        COUNTERS.add("attune_worker_transport_bytes_total", received, kind="pack")
        if expected is not None and received < expected:
            raise ServerUnavailable(f"the connection broke while pack {self.ref} was fetched")

    def _read(self, answer: HTTPResponse) -> bytes:
        if self.ended():
            raise Ended
        try:
            return answer.read(_CHUNK)
        except (OSError, HTTPException) as error:
            raise ServerUnavailable(f"the connection broke while pack {self.ref} was fetched: {error}") from error

    def _checked(self) -> str:
        self.file.seek(0)
        found = hashlib.file_digest(self.file, "sha256").hexdigest()  # type: ignore[arg-type]
        self.file.seek(0)
        if self.promised is not None and found != self.promised:
            raise PackError(
                f"the archive of pack {self.ref} has the digest {found}, but the server says {self.promised}",
                hint="something between this worker and the server changes what is sent",
            )
        return found

    def _forget(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.promised = None


def _named(answer: HTTPResponse) -> str | None:
    """Return the digest that the server promises; Attune's Rust API promises none."""
    shown = answer.getheader("X-Checksum-Sha256", "").strip().lower()
    if _HEX.fullmatch(shown):
        return shown
    found = _ETAG.fullmatch(answer.getheader("ETag", "").strip())
    return None if found is None else found[1]
