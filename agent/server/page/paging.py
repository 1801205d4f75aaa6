"""The links below a list: newer, older, and what the list shows (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIZE = 50


@dataclass(frozen=True)
class Pages:
    """Where one may go from this page of a list; a query is None where there is nothing."""

    number: int
    previous: Mapping[str, Any] | None
    next: Mapping[str, Any] | None
    total: int | None


def pages(pagination: Mapping[str, Any], query: Mapping[str, Any]) -> Pages:
    """Make links of what the API says about a page."""
    number = int(pagination["page"])
    others = {name: value for name, value in query.items() if name != "page"}
    return Pages(
        number,
        {**others, "page": number - 1} if number > 1 else None,
        {**others, "page": number + 1} if pagination["has_next"] else None,
        pagination.get("total_items"),
    )
