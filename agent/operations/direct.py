"""The operations of a deployment, on its database and its broker."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from agent.db.pool import Database
from agent.operations.direct_artifacts import DirectArtifacts
from agent.operations.direct_catalog import DirectCatalog
from agent.operations.direct_executions import DirectExecutions
from agent.operations.direct_fleet import DirectRuntimes, DirectWorkers
from agent.operations.direct_keys import DirectKeys
from agent.operations.means import Means

if TYPE_CHECKING:
    from agent.operations.direct_accounts import DirectAccounts
    from agent.operations.direct_events import DirectEvents


class DirectOperations:
    """Implements ``Operations``."""

    def __init__(self, database: Database, means: Means) -> None:
        """Work on ``database``; nothing is connected yet."""
        self._database = database
        self._means = means

    @property
    def place(self) -> str:
        """The database that is asked."""
        return f"the database at {self._database.address.label}"

    @cached_property
    def executions(self) -> DirectExecutions:
        """Its executions."""
        return DirectExecutions(self._database, self._means)

    @cached_property
    def artifacts(self) -> DirectArtifacts:
        """Its artifacts."""
        return DirectArtifacts(self._database, self._means)

    @cached_property
    def workers(self) -> DirectWorkers:
        """Its workers."""
        return DirectWorkers(self._database, self._means)

    @cached_property
    def runtimes(self) -> DirectRuntimes:
        """Its runtimes."""
        return DirectRuntimes(self._database)

    @cached_property
    def catalog(self) -> DirectCatalog:
        """Its actions and packs."""
        return DirectCatalog(self._database, self._means)

    @cached_property
    def keys(self) -> DirectKeys:
        """Its stored keys."""
        return DirectKeys(self._database, self._means)

    @cached_property
    def accounts(self) -> DirectAccounts:
        """Its accounts; the library that hashes passwords is needed for them only."""
        from agent.operations.direct_accounts import DirectAccounts

        return DirectAccounts(self._database)

    @cached_property
    def events(self) -> DirectEvents:
        """Its triggers, rules, events and sensors; the parser of conditions is needed for them only."""
        from agent.operations.direct_events import DirectEvents

        return DirectEvents(self._database)
