"""Actions and packs, over the API; a pack's directory is sent as an archive."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from agent.client.documents import moments, value_of, values_of
from agent.client.pack_archive import archived
from agent.client.transport import Transport, path_of
from agent.errors import AgentError
from agent.operations.interface import PackOutcome
from agent.packs.model import Problem
from agent.packs.registered import PackSummary

_UPLOAD_TIMEOUT = 300.0


class ApiCatalog:
    """Implements ``Catalog``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``."""
        self._transport = transport

    def actions(self, pack_ref: str | None = None) -> list[dict[str, Any]]:
        """Return actions."""
        found: Any = self._transport.ask("GET", path_of("operator", "actions"), query={"pack": pack_ref})
        return [moments(one, ("updated",)) for one in found]

    def action(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        return moments(self._transport.ask("GET", path_of("operator", "actions", ref)), ("updated",))

    def packs(self) -> list[PackSummary]:
        """Return the packs."""
        return values_of(PackSummary, self._transport.ask("GET", path_of("operator", "packs")))

    def pack(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        return moments(self._transport.ask("GET", path_of("operator", "packs", ref)), ("created", "updated"))

    def register(self, directory: Path) -> PackOutcome:
        """Send a pack; the server checks, registers and tells workers."""
        boundary = uuid.uuid4().hex
        with (
            archived(directory, boundary) as form,
            self._transport.lend(
                "POST",
                path_of("operator", "packs"),
                form,
                headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
                timeout=_UPLOAD_TIMEOUT,
            ) as answer,
        ):
            found = self._transport.decoded(answer)
        if not isinstance(found, dict):
            raise AgentError("the API's answer can't be understood", hint="is the server as new as this command?")
        warnings = [value_of(Problem, one) for one in found.get("warnings") or ()]
        problems = [value_of(Problem, one) for one in found.get("problems") or ()]
        return PackOutcome(warnings, problems, found.get("document"))

    def remove_pack(self, ref: str) -> None:
        """Delete one. Raises NotFound, Conflict."""
        self._transport.ask("DELETE", path_of("packs", ref))
