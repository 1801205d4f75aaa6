"""SQL lives in .sql files beside the module that uses it; this reads their named statements."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

_HEADER = re.compile(r"^--\s*name:\s*(\S+)\s*$", re.MULTILINE)
_COMMENT_LINE = re.compile(r"^\s*--.*\n?", re.MULTILINE)


@functools.cache
def load_queries(package: str, name: str = "queries.sql") -> Mapping[str, str]:
    """Return the statements of file ``name`` in ``package`` (dotted) by their names.

    Each begins with a line ``-- name: what_it_does``. Lines that are only a comment don't reach the server.

    Raises:
        FileNotFoundError: the package ships no such file.
        ValueError: a name is used twice, a statement is empty, or text stands before the first name.
    """
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    return parse_queries(text, source=f"{package}/{name}")


def parse_queries(text: str, *, source: str) -> Mapping[str, str]:
    """Split ``text`` into named statements; ``source`` names it in complaints."""
    head, *blocks = _HEADER.split(text)
    if _COMMENT_LINE.sub("", head).strip():
        raise ValueError(f"{source}: a statement stands before the first '-- name:' line")
    statements: dict[str, str] = {}
    for key, block in zip(blocks[::2], blocks[1::2], strict=True):
        statement = _COMMENT_LINE.sub("", block).strip().removesuffix(";")
        if key in statements or not statement:
            raise ValueError(f"{source}: {key} is {'empty' if not statement else 'defined twice'}")
        statements[key] = statement
    return MappingProxyType(statements)
