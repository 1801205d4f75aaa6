"""Actions and packs, on the database and below packs_base_dir of this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.control import catalog
from agent.db.pool import Database
from agent.errors import BrokerError
from agent.mq.outgoing_messages import pack_deleted, pack_registered
from agent.operations.interface import PackOutcome
from agent.operations.means import Means
from agent.packs.install import Installed, install
from agent.packs.registered import PackSummary, registered_packs
from agent.rules.pack_rules import parse_for_registration


class DirectCatalog:
    """Implements ``Catalog``."""

    def __init__(self, database: Database, means: Means) -> None:
        """Work on ``database``."""
        self._database = database
        self._means = means

    def actions(self, pack_ref: str | None = None) -> list[dict[str, Any]]:
        """Return actions."""
        return catalog.list_actions(self._database, pack_ref)

    def action(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        return catalog.find_action(self._database, ref)

    def packs(self) -> list[PackSummary]:
        """Return the packs."""
        return list(registered_packs(self._database))

    def pack(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        return catalog.find_pack(self._database, ref)

    def register(self, directory: Path) -> PackOutcome:
        """Register a pack, and tell workers where there is a broker."""
        parsed = parse_for_registration(directory, self._database)
        if parsed.pack is None:
            return PackOutcome(parsed.warnings, parsed.problems)
        done = install(self._database, parsed.pack, self._means.settings.packs_base_dir)
        told = bool(self._means.broker_settings.message_queue.url)
        trouble = self._announce(done) if told else None
        document = done.as_document(parsed.warnings, told=told and trouble is None)
        return PackOutcome(parsed.warnings, (), document, trouble)

    def remove_pack(self, ref: str) -> None:
        """Delete one, and tell workers where there is a broker. Raises NotFound, Conflict."""
        pack_id = catalog.remove_pack(self._database, ref, self._means.settings.packs_base_dir)
        if self._means.broker_settings.message_queue.url:
            with self._means.sender() as send:
                send(pack_deleted(pack_id, ref, at=datetime.now(UTC)))

    def _announce(self, installed: Installed) -> BrokerError | None:
        """Tell workers; return what went wrong: the pack is registered whatever the broker does."""
        done = installed.registration
        message = pack_registered(done.pack_id, done.ref, done.version, done.runtime_names, at=datetime.now(UTC))
        try:
            with self._means.sender() as send:
                send(message)
        except BrokerError as error:
            return error
        return None
