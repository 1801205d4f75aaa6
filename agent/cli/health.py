"""``attune-agent health``: ask the agent of this container how it is; the one-file agent does it without Python."""

from __future__ import annotations

import sys

from agent.errors import UsageError

_DEFAULT_SECONDS = 5


def health(words: list[str]) -> int:
    """Ask; return 0 for yes, 1 for no, with the reason on stderr.

    Raises:
        UsageError: the words after ``health`` are not understood.
    """
    from agent.presence.health_socket import ask

    question, seconds, rest = "ready", _DEFAULT_SECONDS, list(words)
    while rest:
        word = rest.pop(0)
        if word == "--live":
            question = "live"
        elif word == "--timeout" and rest and rest[0].isdecimal() and 0 < int(rest[0]) <= 3600:
            seconds = int(rest.pop(0))
        else:
            raise UsageError("usage: attune-agent health [--live] [--timeout SECONDS]")
    reason = ask(question, seconds)
    if reason is not None:
        print(f"attune-agent: {reason}", file=sys.stderr)
    return 0 if reason is None else 1
