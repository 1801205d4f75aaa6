"""Find the value of an expression: within a number of steps and a time, on nothing but JSON values (pure)."""

from __future__ import annotations

import ast
import difflib
import operator
import time
from collections.abc import Callable, Mapping
from typing import Any

from lark import Token, Tree

from agent.rules.expression.collection_functions import within
from agent.rules.expression.functions import FUNCTIONS, arity, call
from agent.rules.expression.grammar import Node, parse
from agent.rules.expression.values import (
    ExpressionError,
    checked_number,
    equal,
    kind_of,
    require_text,
    truth,
)

MOST_STEPS = 10_000
"""How much work one evaluation may be: operations, and the items that functions look at."""

SECONDS = 0.05
"""How long one evaluation may take, in seconds of the processor: a busy machine must not change what matches."""

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def evaluate(text: str, names: Mapping[str, Any], *, seconds: float = SECONDS) -> Any:
    """Return the value of an expression; ``names`` are what it may speak of.

    Raises:
        ExpressionError: it can't be read, or has no value here.
    """
    root = parse(text)
    return _Evaluation(names, time.thread_time() + seconds).value(root)


def check(text: str, names: frozenset[str]) -> None:
    """Read an expression without evaluating it, as is done when a rule is saved.

    Raises:
        ExpressionError: it can't be read, or speaks of a name or a function that there is not.
    """
    waiting: list[Node] = [parse(text)]
    while waiting:
        node = waiting.pop()
        if node.data == "name":
            _known("name", str(node.children[0]), names)
        elif node.data == "call":
            name = str(node.children[0])
            _known("function", name, frozenset(FUNCTIONS))
            least, most = arity(name)
            if not least <= len(node.children) - 1 <= most:
                call(name, [None] * (len(node.children) - 1))
        elif node.data == "string":
            _string(node)
        waiting.extend(child for child in node.children if isinstance(child, Tree))


def _known(what: str, name: str, known: frozenset[str] | Mapping[str, Any]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; there is {', '.join(sorted(known))}"
        raise ExpressionError(f"there is no {what} {name[:40]}{hint}")


class _Evaluation:
    def __init__(self, names: Mapping[str, Any], deadline: float) -> None:
        self._names = names
        self._deadline = deadline
        self._steps = 0

    def value(self, node: Node) -> Any:
        self._spend(1)
        return getattr(self, f"_{node.data}")(node.children)

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise ExpressionError(f"limit: more than {MOST_STEPS} steps")
        if time.thread_time() > self._deadline:
            raise ExpressionError("limit: the expression took too long")

    def _disjunction(self, parts: list[Any]) -> bool:
        return any(truth(self.value(part)) for part in parts)

    def _conjunction(self, parts: list[Any]) -> bool:
        return all(truth(self.value(part)) for part in parts)

    def _negated(self, parts: list[Any]) -> bool:
        return not truth(self.value(parts[0]))

    def _compared(self, parts: list[Any]) -> bool:
        left, right = self.value(parts[0]), self.value(parts[2])
        sign = str(parts[1])
        if sign in ("==", "!="):
            return equal(left, right) == (sign == "==")
        kinds = (kind_of(left), kind_of(right))
        if kinds not in (("number", "number"), ("string", "string")):
            raise self._mismatch(sign, parts[0], parts[2], kinds)
        return _ORDERS[sign](left, right)

    def _contained(self, parts: list[Any]) -> bool:
        part, whole = self.value(parts[0]), self.value(parts[1])
        if isinstance(whole, list):
            self._spend(len(whole) // 16)
        try:
            return within(part, whole)
        except ExpressionError as error:
            raise ExpressionError(str(error), path=_path(parts[1]), kind=kind_of(whole)) from None

    def _not_contained(self, parts: list[Any]) -> bool:
        return not self._contained(parts)

    def _sum(self, parts: list[Any]) -> Any:
        total = self.value(parts[0])
        for index in range(1, len(parts), 2):
            sign, right = str(parts[index]), self.value(parts[index + 1])
            kinds = (kind_of(total), kind_of(right))
            if kinds == ("string", "string") and sign == "+":
                require_text(len(total) + len(right))
                total = total + right
            elif kinds == ("number", "number"):
                total = _arithmetic(sign, total, right)
            else:
                raise self._mismatch(sign, parts[index - 1], parts[index + 1], kinds)
        return total

    def _product(self, parts: list[Any]) -> Any:
        total = self.value(parts[0])
        for index in range(1, len(parts), 2):
            sign, right = str(parts[index]), self.value(parts[index + 1])
            kinds = (kind_of(total), kind_of(right))
            if kinds != ("number", "number"):
                raise self._mismatch(sign, parts[index - 1], parts[index + 1], kinds)
            total = _arithmetic(sign, total, right)
        return total

    def _negative(self, parts: list[Any]) -> Any:
        value = self.value(parts[0])
        if kind_of(value) != "number":
            raise ExpressionError(f"- needs a number, not {kind_of(value)}", path=_path(parts[0]), kind=kind_of(value))
        return checked_number(-value)

    def _member(self, parts: list[Any]) -> Any:
        return self._reach(parts[0], str(parts[1]))

    def _item(self, parts: list[Any]) -> Any:
        return self._reach(parts[0], self.value(parts[1]))

    def _reach(self, node: Any, key: Any) -> Any:
        """Look into a value. What is not there is null; into null, a number or a text nobody can look."""
        holder = self.value(node)
        kind = kind_of(holder)
        if kind == "object" and isinstance(key, str):
            return holder.get(key)
        if kind == "array" and isinstance(key, int) and not isinstance(key, bool):
            return holder[key] if -len(holder) <= key < len(holder) else None
        path = _path(node)
        if kind in ("object", "array"):
            raise ExpressionError(
                f"{path or 'the value'} is {kind}: its parts can't be named by {kind_of(key)}", path=path, kind=kind
            )
        raise ExpressionError(f"{path or 'the value'} is {kind} and has no parts", path=path, kind=kind)

    def _name(self, parts: list[Any]) -> Any:
        name = str(parts[0])
        _known("name", name, self._names)
        return self._names[name]

    def _call(self, parts: list[Any]) -> Any:
        name = str(parts[0])
        _known("function", name, frozenset(FUNCTIONS))
        arguments = [self.value(part) for part in parts[1:]]
        self._spend(sum(len(one) for one in arguments if isinstance(one, list | dict)) // 16)
        try:
            found = call(name, arguments)
        except (ValueError, ArithmeticError) as error:
            # Python's own functions refuse some numbers that an event may hold; what they say could hold a value.
            own = isinstance(error, ExpressionError)
            text = str(error) if own else f"{name}() can't work with so large a number"
            path = next((path for part in parts[1:] if (path := _path(part))), "")
            raise ExpressionError(text, path=path, kind=getattr(error, "kind", "number")) from None
        self._spend(0)
        return found

    def _list(self, parts: list[Any]) -> list[Any]:
        return [self.value(part) for part in parts]

    def _number(self, parts: list[Any]) -> Any:
        text = str(parts[0])
        return checked_number(float(text) if any(c in text for c in ".eE") else int(text))

    def _string(self, parts: list[Any]) -> str:
        return _unquoted(parts[0])

    def _true(self, parts: list[Any]) -> bool:
        return True

    def _false(self, parts: list[Any]) -> bool:
        return False

    def _null(self, parts: list[Any]) -> None:
        return None

    @staticmethod
    def _mismatch(sign: str, left: Any, right: Any, kinds: tuple[str, str]) -> ExpressionError:
        path = _path(left) or _path(right)
        kind = kinds[0] if _path(left) else kinds[1]
        return ExpressionError(f"{sign} can't join {kinds[0]} and {kinds[1]}", path=path, kind=kind)


def _arithmetic(sign: str, left: Any, right: Any) -> Any:
    try:
        if sign == "+":
            return checked_number(left + right)
        if sign == "-":
            return checked_number(left - right)
        if sign == "*":
            return checked_number(left * right)
        if sign == "%":
            return checked_number(left % right)
        quotient = left / right
        whole = isinstance(left, int) and isinstance(right, int) and left % right == 0
        return checked_number(left // right if whole else quotient)
    except ZeroDivisionError:
        raise ExpressionError("arithmetic: division by zero") from None
    except OverflowError:
        raise ExpressionError("arithmetic: the result is not a finite number") from None


def _string(node: Node) -> str:
    return _unquoted(node.children[0])


def _unquoted(token: Any) -> str:
    """Read a string literal; its escapes are Python's, so that JSON's are among them."""
    text = str(token)
    if "\\" not in text:
        return text[1:-1]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ExpressionError("syntax: a string has an escape that is not understood") from None
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in value):
        raise ExpressionError("syntax: a string has a character that can't be stored")
    return str(value)


def _path(node: Any) -> str:
    """Write down what was looked at, as the expression has it; empty for what is no path."""
    if isinstance(node, Token) or not isinstance(node, Tree):
        return ""
    if node.data == "name":
        return str(node.children[0])
    if node.data == "member":
        before = _path(node.children[0])
        return f"{before}.{node.children[1]}" if before else ""
    if node.data == "item":
        before, key = _path(node.children[0]), node.children[1]
        literal = key.data in ("string", "number") if isinstance(key, Tree) else False
        return f"{before}[{key.children[0] if literal else '...'}]" if before else ""
    return ""
