"""Workers and runtimes, on the database."""

from __future__ import annotations

from agent.control import fleet
from agent.control import workers as control
from agent.control.fleet import RuntimeEntry, VersionEntry, Worker
from agent.control.version_choice import ActionExplanation, explain_action
from agent.control.workers import WorkerState
from agent.db.pool import Database
from agent.operations.interface import Returned
from agent.operations.means import Means


class DirectWorkers:
    """Implements ``Workers``."""

    def __init__(self, database: Database, means: Means) -> None:
        """Work on ``database``."""
        self._database = database
        self._means = means

    def find(self, name: str | None = None) -> list[Worker]:
        """Return all, or one. Raises AgentError."""
        return fleet.workers(self._database, name)

    def cordon(self, name: str, reason: str | None) -> Worker:
        """Give it nothing more."""
        found = self.find(name)[0]
        with self._database.connection() as connection:
            control.cordon(connection, found.id, reason)
        return found

    def uncordon(self, name: str) -> None:
        """Let it have work again."""
        found = self.find(name)[0]
        with self._database.connection() as connection:
            control.uncordon(connection, found.id)

    def drain(self, name: str, reason: str | None) -> Returned:
        """Cordon it and give back what it has not begun."""
        found = self.find(name)[0]
        with self._database.connection() as connection:
            return Returned(found.id, control.drain(connection, found.id, reason))

    def state(self, worker_id: int) -> WorkerState:
        """Return what it has in hand."""
        with self._database.connection() as connection:
            return control.worker_state(connection, worker_id)

    def remove(self, name: str) -> None:
        """Delete its row and its queues. Raises Conflict."""
        found = self.find(name)[0]
        broker = self._means.broker()
        with self._database.connection() as connection:
            control.remove(connection, found.id, lambda queues, unbind: broker.delete(queues, unbind=unbind))


class DirectRuntimes:
    """Implements ``Runtimes``."""

    def __init__(self, database: Database) -> None:
        """Work on ``database``."""
        self._database = database

    def all(self) -> list[RuntimeEntry]:
        """Return the runtimes."""
        return fleet.runtimes(self._database)

    def versions(self, ref: str | None = None) -> list[VersionEntry]:
        """Return the versions. Raises AgentError."""
        return fleet.versions(self._database, ref)

    def explain(self, action_ref: str, worker: str | None = None) -> ActionExplanation:
        """Say who gets which version. Raises AgentError."""
        return explain_action(self._database, action_ref, worker)
