"""Every error that the project raises on purpose, its exit code and the default hint.

AgentError                       1   the asked-for thing failed
├── UsageError                   2   wrong usage
├── ConfigurationError           2   a setting is missing, malformed or contradictory
├── DatabaseError                1   the database refused a statement
│   └── DatabaseUnavailable      3   it can't be reached
├── BrokerError                  1   the broker refused an operation
│   └── BrokerUnavailable        4   it can't be reached
├── ApiUnavailable               5   the API can't be reached, or has no time now
├── MigrationError               1   a migration is missing, changed or failed
├── PackError                    1   a pack can't be read or registered
├── VersionError                 1   a version or a constraint is malformed
├── MessageError                 1   a message from the broker is malformed
├── ServerError                  1   the server refused a request
│   └── ServerUnavailable        1   it can't be reached, or can't answer now
├── WorkerNameTaken              1   another process holds this worker's name
├── MachineTooSmall              1   too few processes, threads or open files are allowed here
├── AccessDenied                 1   who asks isn't known, or may not do it
├── NotFound                     1   there is nothing of this name
├── Conflict                     1   it contradicts what is there
├── Overloaded                   1   too much at once: later it works
├── InvalidTimer                 1   a rule's timer can't be set
├── InvalidSensor                1   a sensor can't be started as it is
├── EnvironmentFailed            1   an isolated environment could not be prepared
└── InvalidExecution             1   an execution can't be run as it is
    ├── UnmetConstraint              no version here satisfies the action's constraint
    └── SecretUnavailable            a secret that the action needs can't be had
Interrupted                     75   stopped before the drain was complete
"""

from __future__ import annotations


class AgentError(Exception):
    """The asked-for thing failed."""

    exit_code = 1
    hint: str | None = None
    place: str | None = None
    """Which deployment a command had asked, where it had asked one."""

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        """Use the class's docstring where no message is given; ``hint`` says what to do next."""
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        if hint is not None:
            self.hint = hint


class UsageError(AgentError):
    """The command was used wrongly."""

    exit_code = 2


class ConfigurationError(AgentError):
    """A setting is missing, malformed or contradicts another."""

    exit_code = 2


class DatabaseError(AgentError):
    """The database refused a statement."""


class DatabaseUnavailable(DatabaseError):
    """The database can't be reached."""

    exit_code = 3
    hint = "check database.url (ATTUNE__DATABASE__URL) and that PostgreSQL accepts connections from here"


class BrokerError(AgentError):
    """The broker refused an operation."""


class BrokerUnavailable(BrokerError):
    """The broker can't be reached."""

    exit_code = 4
    hint = "check message_queue.url (ATTUNE__MESSAGE_QUEUE__URL) and that the broker accepts connections from here"


class ApiUnavailable(AgentError):
    """The API can't be reached, or has no time now."""

    exit_code = 5

    def __init__(self, message: str | None = None, *, hint: str | None = None, unreached: bool = False) -> None:
        """``unreached``: no request arrived there, so that none can have had an effect."""
        super().__init__(message, hint=hint)
        self.unreached = unreached


class MigrationError(AgentError):
    """A migration is missing, was changed after it was applied, or failed."""


class PackError(AgentError):
    """A pack can't be read or registered."""


class VersionError(AgentError):
    """A version or a version constraint is malformed."""


class MessageError(AgentError):
    """A message is malformed."""


class ServerError(AgentError):
    """The server refused a request."""

    def __init__(self, message: str | None = None, *, status: int = 0, hint: str | None = None) -> None:
        """``status`` is that of the answer, 0 where there was none."""
        super().__init__(message, hint=hint)
        self.status = status


class ServerUnavailable(ServerError):
    """The server can't be reached, or can't answer now."""

    hint = "check ATTUNE_API_URL, and that attune server answers there from here"


class WorkerNameTaken(AgentError):
    """Another process runs under this worker's name."""


class MachineTooSmall(AgentError):
    """Too few processes, threads or open files are allowed here."""


class AccessDenied(AgentError):
    """Who asks isn't known, or may not do it."""


class NotFound(AgentError):
    """There is nothing of this name."""


class Conflict(AgentError):
    """It contradicts what is there."""


class Overloaded(AgentError):
    """Too much at once: later it works."""


class InvalidTimer(AgentError):
    """A rule's timer can't be set."""


class InvalidSensor(AgentError):
    """A sensor can't be started as it is."""


class EnvironmentFailed(AgentError):
    """An isolated environment could not be prepared."""

    def __init__(
        self, message: str | None = None, *, step: str = "", cancelled: bool = False, hint: str | None = None
    ) -> None:
        """``step`` names what failed (``install dependencies``); ``cancelled``: somebody asked for the end."""
        super().__init__(message, hint=hint)
        self.step = step
        self.cancelled = cancelled


class InvalidExecution(AgentError):
    """An execution can't be run as it is."""


class UnmetConstraint(InvalidExecution):
    """No version on this machine satisfies the action's version constraint."""


class SecretUnavailable(InvalidExecution):
    """A secret that the action needs can't be read."""


class Interrupted(AgentError):
    """Stopped before the drain was complete."""

    exit_code = 75
