"""Run a program as a user who is not root, even where the tests' own Python lies below a private directory."""

from __future__ import annotations

from collections.abc import Sequence


def as_user(user: int, command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` as ``user``; it may read what root may, and write nothing more.

    The virtual environment's interpreter may lie in root's home, which another user could not even enter.
    """
    capability = "+dac_read_search"
    identity = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return ["setpriv", *identity, f"--inh-caps={capability}", f"--ambient-caps={capability}", "--", *command]
