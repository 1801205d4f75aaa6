"""Fill ``{{ path }}`` in a rule's parameters: paths only, once only, and secrets only where secrets belong (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.rules.expression.text_functions import as_text
from agent.rules.expression.values import ExpressionError

LARGEST = 4 * 1024 * 1024
"""Characters of everything that one rule's parameters are filled with."""

DEEPEST = 64
MOST_VALUES = 20_000
ROOTS = ("event", "pack", "system")

_EVENT = ("payload", "id", "trigger", "created", "trigger_ref")
_SYSTEM = ("system.timestamp", "system.rule.id", "system.rule.ref")

Path = tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What templates take values from. ``secrets`` are the paths of secret values, such as pack.config.token."""

    values: Mapping[str, Any]
    secrets: frozenset[Path] = frozenset()

    def is_secret(self, path: Path) -> bool:
        """Whether a path names a secret, a part of one, or something that has one in it."""
        return any(path[: len(one)] == one or one[: len(path)] == path for one in self.secrets)


@dataclass
class Filled:
    """Parameters without templates; ``secret_paths`` are the places that got something secret."""

    parameters: dict[str, Any]
    secret_paths: list[Path] = field(default_factory=list)


def fill(parameters: Any, source: Source, allowed: Sequence[Path] = ()) -> Filled:
    """Return ``parameters`` with every template replaced. What is put in is never looked at again.

    ``allowed`` are the parameters that the action declares secret.

    Raises:
        ExpressionError: a path names nothing that there can be, a secret would go where it can be read, or too much
            came out.
    """
    if not isinstance(parameters, Mapping):
        return Filled({})
    filling = _Filling(source, list(allowed))
    found = filling.value(parameters, ())
    return Filled(found, filling.secret_paths)


def problem(parameters: Any) -> str | None:
    """Say what is wrong with parameters that somebody wants to save, None when nothing is."""
    try:
        for where, text in _texts(parameters):
            for _, _, expression in _templates(text):
                try:
                    _read(expression)
                except ExpressionError as error:
                    return f"action_params.{'.'.join(where)}: {error}"
    except ExpressionError as error:
        return f"action_params: {error}"
    return None


def has_template(value: Any) -> bool:
    """Whether a value is a text with a template in it, whose type nobody knows before there is an event."""
    return isinstance(value, str) and next(_templates(value), None) is not None


def _templates(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield begin, end and path of each template.

    Sought by hand: a pattern tries every length of blanks from every brace, which takes hours on a text that is made
    for it, and holds up all other threads.
    """
    at = 0
    while (begin := text.find("{{", at)) >= 0 and (brace := text.find("}", begin + 2)) >= 0:
        at = brace + 1
        if text.startswith("}}", brace) and brace > begin + 2:
            at = brace + 2
            yield begin, at, text[begin + 2 : brace].strip()


def _texts(parameters: Any) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    waiting: list[tuple[Path, Any]] = [((), parameters)]
    count = 0
    while waiting:
        path, value = waiting.pop()
        count += 1
        if count > MOST_VALUES or len(path) > DEEPEST:
            raise ExpressionError(f"limit: at most {MOST_VALUES} values, {DEEPEST} deep")
        if isinstance(value, str):
            found.append((path, value))
        elif isinstance(value, Mapping):
            waiting.extend(((*path, str(key)), item) for key, item in value.items())
        elif isinstance(value, list):
            waiting.extend(((*path, str(index)), item) for index, item in enumerate(value))
    return found


class _Filling:
    def __init__(self, source: Source, allowed: list[Path]) -> None:
        self._source = source
        self._allowed = allowed
        self._size = 0
        self._count = 0
        self.secret_paths: list[Path] = []

    def value(self, value: Any, where: Path) -> Any:
        self._count += 1
        if self._count > MOST_VALUES or len(where) > DEEPEST:
            raise ExpressionError(f"limit: at most {MOST_VALUES} values, {DEEPEST} deep")
        if isinstance(value, str):
            return self._text(value, where)
        if isinstance(value, Mapping):
            return {key: self.value(item, (*where, str(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*where, str(index))) for index, item in enumerate(value)]
        return value

    def _text(self, text: str, where: Path) -> Any:
        pieces, at = [], 0
        for begin, end, expression in _templates(text):
            if (begin, end) == (0, len(text)):
                found = self._take(expression, where)
                self._spend(_size(found))
                return found
            pieces += [text[at:begin], self._written(expression, where)]
            at = end
        return "".join([*pieces, text[at:]])

    def _written(self, expression: str, where: Path) -> str:
        found = self._take(expression, where)
        text = "" if found is None else as_text(found)
        self._spend(len(text))
        return text

    def _take(self, expression: str, where: Path) -> Any:
        path = _read(expression)
        if self._source.is_secret(path):
            if not any(where[: len(one)] == one for one in self._allowed):
                name = ".".join(where)
                raise ExpressionError(
                    f"{'.'.join(path)} is secret: it may go only to a parameter that the action declares secret, "
                    f"not to {name}",
                    path=".".join(path),
                    kind="secret",
                )
            self.secret_paths.append(where)
        return _reach(self._source.values, path)

    def _spend(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST:
            raise ExpressionError(f"size: the parameters would be longer than {LARGEST} characters")


def _read(expression: str) -> Path:
    """Return the path that a template names. Raises ExpressionError."""
    path = tuple(part.strip() for part in expression.split("."))
    shown = expression[:80]
    if path[0] not in ROOTS:
        raise ExpressionError(f"{{{{ {shown} }}}}: a template begins with {', '.join(ROOTS)}", path=shown)
    if path[0] == "event" and (len(path) < 2 or path[1] not in _EVENT):
        raise ExpressionError(f"{{{{ {shown} }}}}: an event has {', '.join(_EVENT)}", path=shown)
    if path[0] == "pack" and path[1:2] != ("config",):
        raise ExpressionError(f"{{{{ {shown} }}}}: a pack has config", path=shown)
    if path[0] == "system" and ".".join(path) not in _SYSTEM:
        raise ExpressionError(f"{{{{ {shown} }}}}: there is {', '.join(_SYSTEM)}", path=shown)
    if "" in path:
        raise ExpressionError(f"{{{{ {shown} }}}}: a part of the path is empty", path=shown)
    return path


def _reach(values: Mapping[str, Any], path: Path) -> Any:
    """Follow a path; what is not there is None. A part that is a number names an item of a list."""
    reached: Any = values
    for part in path:
        if isinstance(reached, Mapping):
            reached = reached.get(part)
        elif isinstance(reached, list) and part.isascii() and part.isdigit() and len(part) < 9:
            reached = reached[int(part)] if int(part) < len(reached) else None
        else:
            return None
    return reached


def _size(value: Any) -> int:
    total = 0
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Mapping):
            total += sum(len(key) for key in found)
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
        else:
            total += len(found) if isinstance(found, str) else 8
    return total
