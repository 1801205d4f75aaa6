"""Fields that several bodies and queries have, with what they may hold."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from agent.server.problems import Problem

LARGEST_ID = 2**63 - 1
DEEPEST_OFFSET = 10_000
"""Rows that may be skipped; further on a list goes by its keys."""

Id = Annotated[int, Meta(ge=1, le=LARGEST_ID)]
Ref = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\s/\\\x00-\x1f\x7f]+$(?!\n)")]
Label = Annotated[str, Meta(min_length=1, max_length=255)]
Login = Annotated[str, Meta(min_length=1, max_length=255)]
NewLogin = Annotated[str, Meta(min_length=3, max_length=255)]
Password = Annotated[str, Meta(min_length=8, max_length=128)]
Number = Annotated[int, Meta(ge=1, le=1_000_000)]
Size = Annotated[int, Meta(ge=1, le=1_000_000)]
Limit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Text = Annotated[str, Meta(max_length=10_000)]

CAP = 100
"""Rows of one page, however many were asked for."""


class Paging(Struct, kw_only=True):
    """``page`` and ``page_size``."""

    page: Number = 1
    page_size: Size = 50

    @property
    def size(self) -> int:
        """How many rows a page has."""
        return min(self.page_size, CAP)

    def window(self) -> dict[str, Any]:
        """Return limit and offset; one row more than a page, to see whether another follows."""
        return _window(self.page, self.size)


class PerPage(Struct, kw_only=True):
    """``page`` and ``per_page``, as some lists have it."""

    page: Number = 1
    per_page: Size = 50

    @property
    def size(self) -> int:
        """How many rows a page has."""
        return min(self.per_page, CAP)

    def window(self) -> dict[str, Any]:
        """Return limit and offset; one row more than a page, to see whether another follows."""
        return _window(self.page, self.size)


def _window(number: int, size: int) -> dict[str, Any]:
    offset = (number - 1) * size
    if offset > DEEPEST_OFFSET:
        raise Problem.bad(
            f"a page may begin {DEEPEST_OFFSET} rows down at most; narrow the list, or go on with `after`"
        )
    return {"limit": size + 1, "offset": offset}


def matching(pattern: str | None) -> str | None:
    """Turn a text with ``*`` for anything into a pattern of LIKE; all other characters stand for themselves."""
    if pattern is None:
        return None
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, "\\" + special)
    return pattern.replace("*", "%")
