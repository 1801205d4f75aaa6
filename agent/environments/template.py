"""Fill ``{pack_dir}``, ``{env_dir}``, ``{interpreter}`` and ``{manifest_path}`` into texts and commands (pure).

One pass, so that a value which looks like a placeholder is never filled in again; unknown placeholders stay as they
are. Commands are lists of words, so no value is ever split. Only the script of ``sh -c`` is code: there a value is
quoted as its place needs it, so that a path with spaces or shell characters stays a path.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from agent.runtimes.model import EnvVar

Values = Mapping[str, str]

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'([\\"$`])')


def fill(text: str, values: Values) -> str:
    """Replace each known placeholder of ``text`` literally."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def fill_command(command: Sequence[str], values: Values) -> tuple[str, ...]:
    """Fill a command's words; the script of ``sh -c`` gets its values quoted."""
    script = _script_index(command)
    return tuple(
        _fill_script(word, values) if index == script else fill(word, values) for index, word in enumerate(command)
    )


def fill_env_vars(env_vars: Mapping[str, EnvVar], values: Values) -> dict[str, EnvVar]:
    """Fill the value of each variable; how it joins an existing one is left to the caller."""
    return {
        name: EnvVar(fill(variable.value, values), variable.operation, variable.separator)
        for name, variable in env_vars.items()
    }


def _script_index(command: Sequence[str]) -> int | None:
    """Return where the script of ``sh -c SCRIPT`` stands, or None where the command isn't one."""
    if not command or PurePath(command[0]).name not in _SHELLS:
        return None
    for index, word in enumerate(command[1:-1], start=1):
        if not word.startswith("-"):
            return None
        if word.endswith("c") and not word.startswith("--"):
            return index + 1
    return None


def _fill_script(script: str, values: Values) -> str:
    filled: list[str] = []
    quote, position = "", 0
    while position < len(script):
        match = _PLACEHOLDER.match(script, position)
        if match and match[1] in values:
            filled.append(_quoted(values[match[1]], quote))
            position = match.end()
            continue
        length = 2 if script[position] == "\\" and quote != "'" else 1
        piece = script[position : position + length]
        if piece in ("'", '"') and quote in ("", piece):
            quote = "" if quote else piece
        filled.append(piece)
        position += length
    return "".join(filled)


def _quoted(value: str, quote: str) -> str:
    if quote == "'":
        return value.replace("'", "'\\''")
    if quote == '"':
        return _SPECIAL_IN_DOUBLE_QUOTES.sub(r"\\\1", value)
    return shlex.quote(value)
