"""The operations of a deployment, over its API."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from agent.client.api_accounts import ApiAccounts
from agent.client.api_artifacts import ApiArtifacts
from agent.client.api_catalog import ApiCatalog
from agent.client.api_executions import ApiExecutions
from agent.client.api_fleet import ApiRuntimes, ApiWorkers
from agent.client.api_keys import ApiKeys
from agent.client.transport import Transport

if TYPE_CHECKING:
    from agent.client.api_events import ApiEvents


class ApiOperations:
    """Implements ``Operations``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``; nothing is asked yet."""
        self.transport = transport

    @property
    def place(self) -> str:
        """The API that is asked."""
        return f"the API at {self.transport.url}"

    @cached_property
    def executions(self) -> ApiExecutions:
        """Its executions."""
        return ApiExecutions(self.transport)

    @cached_property
    def artifacts(self) -> ApiArtifacts:
        """Its artifacts."""
        return ApiArtifacts(self.transport)

    @cached_property
    def workers(self) -> ApiWorkers:
        """Its workers."""
        return ApiWorkers(self.transport)

    @cached_property
    def runtimes(self) -> ApiRuntimes:
        """Its runtimes."""
        return ApiRuntimes(self.transport)

    @cached_property
    def catalog(self) -> ApiCatalog:
        """Its actions and packs."""
        return ApiCatalog(self.transport)

    @cached_property
    def keys(self) -> ApiKeys:
        """Its stored keys."""
        return ApiKeys(self.transport)

    @cached_property
    def accounts(self) -> ApiAccounts:
        """Its accounts."""
        return ApiAccounts(self.transport)

    @cached_property
    def events(self) -> ApiEvents:
        """Its triggers, rules, events and sensors."""
        from agent.client.api_events import ApiEvents

        return ApiEvents(self.transport)
