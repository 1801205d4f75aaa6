"""Workers and runtimes, over the API."""

from __future__ import annotations

from typing import Any

from agent.client.documents import value_of, values_of
from agent.client.transport import Transport, path_of
from agent.control.fleet import RuntimeEntry, VersionEntry, Worker
from agent.control.version_choice import ActionExplanation
from agent.control.workers import WorkerState
from agent.operations.interface import Returned


class ApiWorkers:
    """Implements ``Workers``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``."""
        self._transport = transport

    def find(self, name: str | None = None) -> list[Worker]:
        """Return all, or one. Raises NotFound."""
        return values_of(Worker, self._transport.ask("GET", path_of("operator", "workers"), query={"name": name}))

    def cordon(self, name: str, reason: str | None) -> Worker:
        """Give it nothing more."""
        found = self.find(name)[0]
        self._transport.ask("POST", path_of("workers", found.id, "cordon"), {"reason": reason})
        return found

    def uncordon(self, name: str) -> None:
        """Let it have work again."""
        self._transport.ask("POST", path_of("workers", self.find(name)[0].id, "uncordon"))

    def drain(self, name: str, reason: str | None) -> Returned:
        """Cordon it and give back what it has not begun."""
        found = self.find(name)[0]
        done: Any = self._transport.ask("POST", path_of("workers", found.id, "drain"), {"reason": reason})
        return Returned(found.id, int(done["returned"]))

    def state(self, worker_id: int) -> WorkerState:
        """Return what it has in hand."""
        return value_of(WorkerState, self._transport.ask("GET", path_of("operator", "workers", worker_id, "state")))

    def remove(self, name: str) -> None:
        """Delete its row and its queues. Raises Conflict."""
        self._transport.ask("DELETE", path_of("workers", self.find(name)[0].id))


class ApiRuntimes:
    """Implements ``Runtimes``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``."""
        self._transport = transport

    def all(self) -> list[RuntimeEntry]:
        """Return the runtimes."""
        return values_of(RuntimeEntry, self._transport.ask("GET", path_of("operator", "runtimes")))

    def versions(self, ref: str | None = None) -> list[VersionEntry]:
        """Return the versions. Raises NotFound."""
        found = self._transport.ask("GET", path_of("operator", "runtime-versions"), query={"ref": ref})
        return values_of(VersionEntry, found)

    def explain(self, action_ref: str, worker: str | None = None) -> ActionExplanation:
        """Say who gets which version. Raises NotFound."""
        path = path_of("operator", "actions", action_ref, "runtime")
        return value_of(ActionExplanation, self._transport.ask("GET", path, query={"worker": worker}))
