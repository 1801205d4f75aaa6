"""Read an expression: lark's LALR parser on a grammar of ours, and limits on what it may build (pure).

LALR needs no recursion and a time that grows with the text alone; what it gives is as flat as the text was.
"""

from __future__ import annotations

import functools
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from agent.rules.expression.values import ExpressionError

LONGEST = 4_096
"""Characters of an expression."""

DEEPEST = 32
"""How deep brackets and operations may be nested."""

MOST_NODES = 256
"""Operations and values of an expression."""

_GRAMMAR = r"""
start: disjunction

?disjunction: conjunction ("or" conjunction)*
?conjunction: negation ("and" negation)*
?negation: "not" negation -> negated
         | comparison
?comparison: sum
           | sum COMPARES sum -> compared
           | sum "in" sum -> contained
           | sum "not" "in" sum -> not_contained
?sum: product ((PLUS | MINUS) product)*
?product: sign ((TIMES | OVER | MODULO) sign)*
?sign: "-" sign -> negative
     | reached
?reached: atom
        | reached "." NAME -> member
        | reached "[" disjunction "]" -> item
?atom: NUMBER -> number
     | STRING -> string
     | "true" -> true
     | "false" -> false
     | "null" -> null
     | NAME -> name
     | NAME "(" [disjunction ("," disjunction)*] ")" -> call
     | "[" [disjunction ("," disjunction)*] "]" -> list
     | "(" disjunction ")"

COMPARES: "==" | "!=" | "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
TIMES: "*"
OVER: "/"
MODULO: "%"
NAME: /[A-Za-z_][A-Za-z0-9_]*/
NUMBER: /[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?/
STRING: /"([^"\\\n]|\\.)*"/ | /'([^'\\\n]|\\.)*'/
%ignore /[ \t\r\n]+/
"""

Node = Tree[Token]


@functools.lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False)


@functools.lru_cache(maxsize=4_096)
def parse(text: str) -> Node:
    """Return what an expression says; surrounding ``{{ }}`` are left away.

    Raises:
        ExpressionError: it is too long, too deep, has too many parts, or is not one. The sentence says where.
    """
    text = bare(text)
    if len(text) > LONGEST:
        raise ExpressionError(f"limit: an expression has at most {LONGEST} characters, this one has {len(text)}")
    if not text:
        raise ExpressionError("syntax: the expression is empty")
    _check_brackets(text)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise ExpressionError(_complaint(error, text)) from None
    root = tree.children[0]
    assert isinstance(root, Tree), "every alternative of the grammar makes a tree"
    _check_size(root)
    return root


def bare(text: str) -> str:
    """Return an expression without blanks and ``{{ }}`` around it."""
    text = text.strip()
    if text.startswith("{{") and text.endswith("}}") and len(text) >= 4:
        text = text[2:-2].strip()
    return text


def _check_brackets(text: str) -> None:
    """Count before the parser does any work; brackets in strings are few enough not to matter."""
    depth = 0
    quote = ""
    escaped = False
    for character in text:
        if quote:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character in "([":
            depth += 1
            if depth > DEEPEST:
                raise ExpressionError(f"limit: brackets may be nested {DEEPEST} deep at most")
        elif character in ")]":
            depth -= 1


def _check_size(root: Node) -> None:
    waiting: list[tuple[Any, int]] = [(root, 1)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST:
            raise ExpressionError(f"limit: operations may be nested {DEEPEST} deep at most")
        count += 1
        if count > MOST_NODES:
            raise ExpressionError(f"limit: an expression has at most {MOST_NODES} parts")
        waiting.extend((child, depth + 1) for child in node.children if isinstance(child, Tree))


def _complaint(error: UnexpectedInput, text: str) -> str:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return "syntax: the expression ends too early"
    position = error.pos_in_stream or 0
    found = str(error.token)[:40] if isinstance(error, UnexpectedToken) else text[position]
    return f"syntax: {found!r} can't stand at character {position + 1}"
