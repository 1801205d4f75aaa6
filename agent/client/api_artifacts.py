"""Artifacts, over the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agent.client.documents import moments
from agent.client.patience import Patience
from agent.client.transport import Transport, path_of
from agent.errors import AgentError, ApiUnavailable, Conflict, NotFound

_PAGE = 100
_CHUNK = 1 << 16
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIMES = ("created", "updated")


class SentVersion:
    """Implements ``ArtifactContent``: asked for in as many requests as the network makes of it."""

    def __init__(self, transport: Transport, path: str) -> None:
        """Ask what there is. Raises NotFound, Conflict, ApiUnavailable."""
        self._transport = transport
        self._path = path
        try:
            with transport.lend("HEAD", path) as answer:
                self.sha256 = answer.headers.get("X-Checksum-Sha256", "")
                length = answer.headers.get("Content-Length", "")
        except AgentError:
            with transport.lend("GET", path, headers={"Range": "bytes=0-0"}):
                pass  # an answer to HEAD has no sentence
            raise
        if not _DIGEST.fullmatch(self.sha256) or not length.isdigit():
            raise AgentError("the API doesn't say what it would send", hint="is the server as new as this command?")
        self.size = int(length)

    def read_from(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes behind ``offset``; a connection that breaks is made again. Raises Conflict."""
        patience = Patience()
        while offset < self.size:
            try:
                for chunk in self._part(offset):
                    offset += len(chunk)
                    patience.renew()
                    yield chunk
            except ApiUnavailable as error:
                patience.wait(error)

    def close(self) -> None:
        """Nothing is open between requests."""

    def _part(self, offset: int) -> Iterator[bytes]:
        headers = {"Accept": "*/*"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": f'"{self.sha256}"'}
        with self._transport.lend("GET", self._path, headers=headers) as answer:
            if answer.headers.get("X-Checksum-Sha256") != self.sha256:
                raise Conflict("it has changed while it was downloaded", hint="download it again")
            if offset and answer.status != 206:  # something on the way takes no parts
                while offset and (skipped := answer.read(min(_CHUNK, offset))):
                    offset -= len(skipped)
            while chunk := answer.read(_CHUNK):
                yield chunk


class ApiArtifacts:
    """Implements ``Artifacts``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``."""
        self._transport = transport

    def newest(self, *, limit: int, **filters: Any) -> list[dict[str, Any]]:
        """Return some, a page at a time."""
        found: list[dict[str, Any]] = []
        number = 1
        while len(found) < limit:
            query = filters | {"page": number, "per_page": min(_PAGE, limit)}
            answer = self._transport.ask("GET", path_of("artifacts"), query=query)
            items = answer.get("items") if isinstance(answer, dict) else None
            if not isinstance(items, list):
                raise AgentError("the API's answer can't be understood", hint="is the server as new as this command?")
            found += [moments(one, _TIMES) for one in items]
            if not items or not answer["pagination"]["has_next"]:
                break
            number += 1
        return found[:limit]

    def find(self, named: str) -> dict[str, Any]:
        """Return one with its versions. Raises NotFound."""
        at = (named,) if named.isascii() and named.isdigit() and len(named) < 19 else ("ref", named)
        try:
            row = moments(self._transport.ask("GET", path_of("artifacts", *at)), _TIMES)
        except NotFound as error:
            raise NotFound(str(error), hint="see: attune artifact list") from None
        listed = self._transport.ask("GET", path_of("artifacts", row["id"], "versions"))
        return row | {"versions": [moments(one, _TIMES) for one in listed]}

    def left_by(self, execution_id: int) -> list[dict[str, Any]]:
        """Return what an execution left. Raises NotFound."""
        found = self._transport.ask("GET", path_of("executions", execution_id, "artifacts"))
        return [moments(one, _TIMES) for one in found]

    def content(self, artifact_id: int, version: int) -> SentVersion:
        """Ask for the bytes of a version. Raises NotFound, Conflict, ApiUnavailable."""
        return SentVersion(self._transport, path_of("artifacts", artifact_id, "versions", version, "download"))
