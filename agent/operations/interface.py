"""What a command asks of a deployment, one protocol for each kind of thing.

A command is written once: ``direct`` answers from the database and the broker, ``agent.client`` over the HTTP API.
Both raise the errors of ``agent.errors`` with the same sentences, and return the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from agent.access.account import Account
from agent.control.executions import ExecutionSummary, Retried
from agent.control.explaining import Explained
from agent.control.fleet import RuntimeEntry, VersionEntry, Worker
from agent.control.keystore import Owner
from agent.control.parameter_values import ParameterSchema
from agent.control.submission import Submitted
from agent.control.version_choice import ActionExplanation
from agent.control.workers import WorkerState
from agent.errors import AgentError
from agent.operations.artifact_content import ArtifactContent
from agent.packs.model import Problem
from agent.packs.registered import PackSummary
from agent.rules.explained_event import Explained as EventExplanation


class Output(Protocol):
    """One stream of one execution, read from where the last read stopped."""

    def read_live(self) -> Iterator[bytes]:
        """Yield what has been appended since the last call."""

    def read_rest(self) -> Iterator[bytes]:
        """Yield what is left of an execution that has ended."""


class Executions(Protocol):
    """Executions: asked for, looked at, ended."""

    def parameters_of(self, action_ref: str) -> ParameterSchema:
        """Return what an action that can be run takes. Raises UsageError."""

    def submit(self, action_ref: str, parameters: Mapping[str, Any]) -> Submitted:
        """Write an execution. Raises UsageError for parameters that don't fit, AgentError where nobody can run it."""

    def recent(
        self, *, limit: int, status: str | None = None, action_ref: str | None = None, before: int | None = None
    ) -> list[ExecutionSummary]:
        """Return the newest, newest first; ``before`` goes on below the one with that id."""

    def find(self, execution_id: int) -> ExecutionSummary:
        """Return one. Raises AgentError."""

    def wait(
        self,
        execution_id: int,
        *,
        timeout: float | None = None,
        on_change: Callable[[ExecutionSummary], None] = lambda execution: None,
        pause: float = 1.0,
    ) -> ExecutionSummary:
        """Return it when it has ended, or as it is after ``timeout`` seconds; ``on_change`` sees it meanwhile."""

    def follow(
        self,
        execution_id: int,
        streams: Sequence[str],
        write: Callable[[str, bytes], None],
        *,
        timeout: float | None = None,
        on_change: Callable[[ExecutionSummary], None] | None = None,
    ) -> ExecutionSummary:
        """Pass what it writes to ``write`` as soon as it is there; return it as ``wait`` does, when all was passed.

        ``on_change`` sees it meanwhile, where somebody wants to.
        """

    def output(self, execution_id: int, stream: str) -> Output:
        """Return a reader of what it writes to ``stdout`` or ``stderr``."""

    def cancel(self, execution_id: int) -> str:
        """End it; return its new status. Raises AgentError."""

    def retry(self, execution_id: int) -> Retried:
        """Write a new execution like one that has ended. Raises AgentError."""

    def explain(self, execution_id: int) -> Explained:
        """Say why it is where it is. Raises NotFound."""

    def dispatched(self) -> bool:
        """Whether a dispatcher runs, which places what is only requested."""


class Artifacts(Protocol):
    """What executions leave behind, by the id or the ref of each; documents are as the API shows them."""

    def newest(self, *, limit: int, **filters: Any) -> list[dict[str, Any]]:
        """Return some, newest first; ``filters`` are ``owner``, ``type``, ``name`` (a part of it), ``execution``."""

    def find(self, named: str) -> dict[str, Any]:
        """Return one with its ``versions``, newest first. Raises NotFound."""

    def left_by(self, execution_id: int) -> list[dict[str, Any]]:
        """Return the versions that an execution left, its logs included. Raises NotFound."""

    def content(self, artifact_id: int, version: int) -> ArtifactContent:
        """Open the bytes of a version; the caller closes it. Raises NotFound, Conflict where it is not whole."""


class Returned(NamedTuple):
    """The worker that was cordoned, and how many executions it gave back."""

    worker_id: int
    executions: int


class Workers(Protocol):
    """Workers, by their names."""

    def find(self, name: str | None = None) -> list[Worker]:
        """Return all by name, or the one that is named. Raises AgentError when nobody has that name."""

    def cordon(self, name: str, reason: str | None) -> Worker:
        """Give it nothing more; return it as it was."""

    def uncordon(self, name: str) -> None:
        """Let it have work again."""

    def drain(self, name: str, reason: str | None) -> Returned:
        """Cordon it and give what it has not begun to others."""

    def state(self, worker_id: int) -> WorkerState:
        """Return what it has in hand."""

    def remove(self, name: str) -> None:
        """Delete its row and its queues. Raises Conflict while it lives."""


class Runtimes(Protocol):
    """Runtimes, their versions, and who gets which."""

    def all(self) -> list[RuntimeEntry]:
        """Return the runtimes by ref."""

    def versions(self, ref: str | None = None) -> list[VersionEntry]:
        """Return the versions, of one runtime or of all. Raises AgentError."""

    def explain(self, action_ref: str, worker: str | None = None) -> ActionExplanation:
        """Say which version an action gets on each worker. Raises AgentError."""


@dataclass(frozen=True)
class PackOutcome:
    """What became of a registration: ``problems``, or the ``document`` of what was done; ``trouble`` with the broker
    does not undo it."""

    warnings: Sequence[Problem] = ()
    problems: Sequence[Problem] = ()
    document: Mapping[str, Any] | None = None
    trouble: AgentError | None = None


class Catalog(Protocol):
    """Actions and packs."""

    def actions(self, pack_ref: str | None = None) -> list[dict[str, Any]]:
        """Return actions by ref, all or those of a pack."""

    def action(self, ref: str) -> dict[str, Any]:
        """Return one action. Raises NotFound."""

    def packs(self) -> list[PackSummary]:
        """Return the packs by ref."""

    def pack(self, ref: str) -> dict[str, Any]:
        """Return one pack with the refs of its parts. Raises NotFound."""

    def register(self, directory: Path) -> PackOutcome:
        """Register the pack in a directory of this machine. Raises PackError."""

    def remove_pack(self, ref: str) -> None:
        """Delete a pack with everything that it brought. Raises NotFound, Conflict."""


@dataclass(frozen=True)
class NewKey:
    """A key to be stored; ``name`` None: the last part of its ref."""

    ref: str
    value: Any
    name: str | None = None
    owner: Owner = field(default_factory=Owner)
    encrypted: bool = True


class Keys(Protocol):
    """Stored secrets and settings."""

    def store(self, key: NewKey) -> bool:
        """Store it, or give the one that is there the value; return whether it is new."""

    def all(self) -> list[dict[str, Any]]:
        """Return all, without values."""

    def find(self, ref: str, *, reveal: bool) -> dict[str, Any]:
        """Return one; the value of an encrypted one is None unless it is revealed. Raises NotFound."""

    def delete(self, ref: str) -> None:
        """Delete it. Raises NotFound."""


class Accounts(Protocol):
    """Accounts for the API, by their logins."""

    def create(self, login: str, password: str | None, display_name: str | None, sets: Sequence[str]) -> int:
        """Make one with permission sets; return its id. Raises Conflict, NotFound, UsageError."""

    def all(self) -> list[Account]:
        """Return them by login."""

    def set_password(self, login: str, password: str) -> None:
        """Change it; its log-ins end. Raises NotFound, UsageError."""

    def freeze(self, login: str, *, frozen: bool) -> None:
        """Let it do nothing more, or let it log in again. Raises NotFound."""


@dataclass(frozen=True)
class NewRule:
    """A rule to be made; its pack is the first part of its ref. ``conditions`` None: every event matches."""

    ref: str
    trigger_ref: str
    action_ref: str
    label: str | None = None
    description: str | None = None
    conditions: Any = None
    action_params: Mapping[str, Any] = field(default_factory=dict)
    trigger_params: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True


class Events(Protocol):
    """What happens, and what is started by it: triggers, rules, events, sensors."""

    def triggers(self) -> list[dict[str, Any]]:
        """Return the triggers by ref."""

    def trigger(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""

    def rules(self, trigger_ref: str | None = None) -> list[dict[str, Any]]:
        """Return the rules by ref, all or those of a trigger."""

    def rule(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""

    def create_rule(self, rule: NewRule) -> dict[str, Any]:
        """Make one. Raises NotFound, UsageError, Conflict."""

    def delete_rule(self, ref: str) -> None:
        """Delete one. Raises NotFound."""

    def sensors(self) -> list[dict[str, Any]]:
        """Return the sensors by ref."""

    def sensor(self, ref: str) -> dict[str, Any]:
        """Return one with its processes. Raises NotFound."""

    def switch(self, kind: str, ref: str, *, on: bool) -> None:
        """Switch a ``rule``, ``trigger`` or ``sensor`` on or off. Raises NotFound."""

    def recent(self, *, limit: int, trigger_ref: str | None = None) -> list[dict[str, Any]]:
        """Return the newest events, newest first."""

    def event(self, event_id: int) -> dict[str, Any]:
        """Return one, without what its trigger declares secret. Raises NotFound."""

    def send(self, trigger_ref: str, payload: Any, *, rule_ref: str | None = None) -> int:
        """Write an event, for one rule alone or for all of the trigger; return its id. Raises NotFound."""

    def explain(self, event_id: int) -> EventExplanation:
        """Say why it started what it started, and nothing else. Raises NotFound."""


class Operations(Protocol):
    """Everything that commands ask of a deployment; ``place`` names it in messages."""

    @property
    def place(self) -> str: ...

    @property
    def executions(self) -> Executions: ...

    @property
    def artifacts(self) -> Artifacts: ...

    @property
    def workers(self) -> Workers: ...

    @property
    def runtimes(self) -> Runtimes: ...

    @property
    def catalog(self) -> Catalog: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def accounts(self) -> Accounts: ...

    @property
    def events(self) -> Events: ...
