"""The few options of the service commands, read without a library: importing one would cost more than the command."""

from __future__ import annotations

from agent.errors import UsageError


class Arguments:
    """What the command line of ``attune-agent`` or ``attune-worker`` asks for."""

    def __init__(self) -> None:
        """Ask for nothing yet."""
        self.config: str | None = None
        self.name: str | None = None
        self.detect_only = False
        self.json = False
        self.version = False
        self.help = False


_FLAGS = {
    "--detect-only": "detect_only",
    "--json": "json",
    "--version": "version",
    "-V": "version",
    "--help": "help",
    "-h": "help",
}
_VALUES = {"--config": "config", "-c": "config", "--name": "name", "-n": "name"}


def parse(words: list[str], *, detection: bool) -> Arguments:
    """Read the words after the program's name.

    Args:
        words: the command line, without the program.
        detection: whether ``--detect-only`` and ``--json`` exist for this program.

    Raises:
        UsageError: an option is unknown, lacks its value, or stands alone.
    """
    found = Arguments()
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if option in _VALUES:
            if not equals and not waiting:
                raise _wrong(f"{option} needs a value")
            setattr(found, _VALUES[option], value if equals else waiting.pop(0))
        elif option in _FLAGS and not equals and (detection or option not in ("--detect-only", "--json")):
            setattr(found, _FLAGS[option], True)
        else:
            raise _wrong(f"unknown {'option' if word.startswith('-') else 'argument'} {word}")
    if found.json and not found.detect_only:
        raise _wrong("--json goes with --detect-only")
    if found.name is not None and not found.name.strip():
        raise _wrong("--name needs a name that is not blank")
    return found


def _wrong(problem: str) -> UsageError:
    return UsageError(problem, hint="see --help")
