"""The functions that an expression may call: each checks the types of its arguments, and sizes before it builds (pure).

The names are those that rules of existing packs use.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from agent.rules.expression import collection_functions, number_functions, text_functions
from agent.rules.expression.values import ExpressionError

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "string": text_functions.string,
    "number": number_functions.number,
    "int": number_functions.int_,
    "bool": number_functions.bool_,
    "type_of": collection_functions.type_of,
    "length": collection_functions.length,
    "keys": collection_functions.keys,
    "values": collection_functions.values,
    "abs": number_functions.abs_,
    "floor": number_functions.floor,
    "ceil": number_functions.ceil,
    "round": number_functions.round_,
    "min": number_functions.min_,
    "max": number_functions.max_,
    "sum": number_functions.sum_,
    "lower": text_functions.lower,
    "upper": text_functions.upper,
    "trim": text_functions.trim,
    "split": text_functions.split,
    "join": text_functions.join,
    "replace": text_functions.replace,
    "starts_with": text_functions.starts_with,
    "ends_with": text_functions.ends_with,
    "match": text_functions.match,
    "contains": collection_functions.contains,
    "reversed": collection_functions.reversed_,
    "sort": collection_functions.sort,
    "unique": collection_functions.unique,
    "flat": collection_functions.flat,
    "zip": collection_functions.zip_,
    "range": number_functions.range_,
    "slice": collection_functions.slice_,
    "index_of": collection_functions.index_of,
    "count": collection_functions.count,
    "merge": collection_functions.merge,
    "chunks": collection_functions.chunks,
}


def call(name: str, arguments: list[Any]) -> Any:
    """Call a function by its name.

    Raises:
        ExpressionError: there is none, or it can't be called so.
    """
    function = FUNCTIONS[name]
    least, most = arity(name)
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}" if most < 100 else f"at least {least}"
        raise ExpressionError(f"{name}() takes {wanted} arguments, not {len(arguments)}")
    return function(*arguments)


@functools.cache
def arity(name: str) -> tuple[int, int]:
    """Return how few and how many arguments a function takes."""
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    least = sum(p.default is p.empty and p.kind is not p.VAR_POSITIONAL for p in parameters)
    return least, 100 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(parameters)
