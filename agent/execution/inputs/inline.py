"""Turn the text of an inline script into a command: through ``-c``, a temporary file or standard input (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from agent.errors import InvalidExecution
from agent.execution.inputs.dotenv import quote, text_of
from agent.execution.inputs.loader_variables import belongs_to_shell
from agent.runtimes.model import InlineExecution

#: Longest single argument that Linux takes (MAX_ARG_STRLEN of execve(2)), with its final NUL.
_LONGEST_ARGUMENT = 128 * 1024

#: By the time the text runs, cat has emptied standard input, as helpers promise; without cat nothing runs.
_FROM_STDIN = '_attune_script=$(cat) || exit; eval "$_attune_script"'


@dataclass(frozen=True, slots=True)
class InlinePlan:
    """How to run a script's text.

    When ``content`` is not None it must be written to a private file whose path is appended to ``argv``; ``suffix``
    is the end of that file's name. When ``stdin`` is not None it is what standard input gets, in place of parameters.
    """

    argv: tuple[str, ...]
    content: str | None = None
    suffix: str = ""
    stdin: bytes | None = None


def plan_inline(
    code: str,
    interpreter: Sequence[str],
    inline: InlineExecution,
    parameters: Mapping[str, Any],
    *,
    writable: bool,
) -> InlinePlan:
    """Decide how to run ``code`` with ``interpreter`` (its path and arguments).

    With shell helpers the parameters become variables of the script and its standard input is empty. Without a
    ``writable`` place for temporary files a shell takes the script from standard input where it holds parameters
    (arguments are visible to every process), else as an argument.

    Raises:
        InvalidExecution: the text can't be handed over.
    """
    if "\0" in code:
        raise InvalidExecution("the script contains a NUL character")
    if inline.strategy == "direct":
        return InlinePlan((interpreter[0], "-c", _argument(code)))
    suffix = inline.extension or ""
    if suffix and not suffix.startswith("."):
        suffix = "." + suffix
    if inline.inject_shell_helpers:
        script = with_helpers(code, parameters, shell=interpreter[0])
        if writable:
            return InlinePlan(tuple(interpreter), script, suffix, stdin=b"")
        return InlinePlan((*interpreter, "-c", _FROM_STDIN), stdin=script.encode("utf-8", "surrogateescape"))
    if writable:
        return InlinePlan(tuple(interpreter), code, suffix)
    return InlinePlan((*interpreter, "-c", _argument(code)))


def with_helpers(code: str, parameters: Mapping[str, Any], *, shell: str) -> str:
    """Return ``code`` for ``shell``, stopping at errors, with each parameter in ``PARAM_NAME`` and ``name``.

    What is added is POSIX, only the first line depends on the shell. The variables are not exported;
    one of the shell's own is never assigned, such a parameter is in ``PARAM_NAME`` only.
    """
    first = "#!/bin/bash" if shell.rpartition("/")[2] == "bash" else "#!/bin/sh"
    return "\n".join((first, "set -e", *_assignments(parameters), code))


def identifier(name: str) -> str:
    """Return the shell variable for a parameter: what a name can't hold, and a leading digit, become ``_``."""
    return _foreign().sub("_", name) or "_"


def _assignments(parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, value in parameters.items():
        variable = identifier(name)
        quoted = quote(text_of(value, null="null").replace("\0", ""))
        yield f"PARAM_{variable.upper()}={quoted}"
        if not belongs_to_shell(variable):
            yield f"{variable}={quoted}"


@cache
def _foreign() -> re.Pattern[str]:
    return re.compile(r"[^A-Za-z0-9_]|^[0-9]")


def _argument(code: str) -> str:
    if len(code.encode("utf-8", "surrogateescape")) >= _LONGEST_ARGUMENT:
        raise InvalidExecution(
            f"the script has {_LONGEST_ARGUMENT // 1024} KiB or more, which is too long for an argument"
        )
    return code
