"""Read JSON within a budget of values and of nesting, so that no text costs much more than its own size (pure).

A value of JSON takes two characters and up to a hundred times as many bytes once it is a Python object. What exceeds a
budget is refused before it is built.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

#: Deepest nesting that is read; the deepest that Attune's other services read.
DEEPEST = 128

#: Most values in one document: some 60 MB, when they are empty objects.
MOST_VALUES = 500_000

#: Longest number. Longer ones take quadratic time to read, and Python refuses to write them.
_LONGEST_NUMBER = 1_000


@dataclass
class Budget:
    """What may still be read; several documents may share one."""

    values: int = MOST_VALUES
    deepest: int = DEEPEST
    exhausted: bool = False

    def spend(self, text: str) -> None:
        """Take what reading ``text`` needs.

        Raises:
            ValueError: it is more than what is left.
        """
        opened = text.count("[") + text.count("{")
        most = 1 + opened + text.count(",") + text.count('"') // 2
        if most > self.values or opened > self.deepest:
            most = self._measured(text)
        self.values -= most

    def _measured(self, text: str) -> int:
        """Count the values and the depth, looking outside strings only, until one of them is too large."""
        values, depth = 1, 0
        for token in _tokens().finditer(text):
            sign = text[token.start()]
            if sign in "]}":
                depth -= 1
                continue
            values += 1
            if sign in "[{":
                depth += 1
                if depth > self.deepest:
                    raise ValueError(f"it is nested deeper than {self.deepest} levels")
            if values > self.values:
                self.exhausted = True
                raise ValueError(f"it holds more than {MOST_VALUES} values")
        return values


def read_json(text: str | bytes, budget: Budget | None = None) -> Any:
    """Return the value of one JSON document; ``budget`` is a fresh one when there is none.

    Raises:
        ValueError: no JSON (RFC 8259: no NaN, no infinities), a number that Python can't hold, or over budget. The
            message holds nothing of the text.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        (budget or Budget()).spend(text)
        return _decoder().decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def require_few_values(value: Any) -> None:
    """Refuse what aliases of YAML made larger than any text: it would be as large again wherever it is written.

    Raises:
        ValueError: it holds too many values, or itself.
    """
    waiting, left = [value], MOST_VALUES
    while waiting:
        one = waiting.pop()
        left -= 1
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        if len(waiting) > left:
            raise ValueError(f"it holds more than {MOST_VALUES} values")


def read_integer(text: str) -> int:
    """Return the integer that ``text`` writes in decimal. Raises ValueError when it is too long."""
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=read_integer)


@cache
def _tokens() -> re.Pattern[str]:
    # A string is one token, so that signs in it don't count; an unfinished one swallows the rest.
    return re.compile(r'[\[{\]},]|"(?:[^"\\]|\\.)*+"?', re.DOTALL)


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is out of range")
    return number
