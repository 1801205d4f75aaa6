"""Read a secret where nobody else sees it: from a terminal, a file or standard input, never from the command line."""

from __future__ import annotations

import sys
from typing import Any

import click

from agent.errors import UsageError


def read_secret(file: Any, prompt: str, *, confirm: bool = False) -> str:
    """Return the secret; of a file, everything but the line's end.

    Raises:
        UsageError: there is neither a file nor a terminal to ask at, or nothing was given.
    """
    if file is not None:
        text = str(file.read()).rstrip("\r\n")
    elif sys.stdin.isatty():
        text = str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    else:
        text = sys.stdin.read().rstrip("\r\n")
    if not text:
        raise UsageError(f"{prompt.lower()}: nothing was given", hint="type it, pipe it in, or name a file")
    return text
