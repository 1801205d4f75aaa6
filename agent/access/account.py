"""An account as an operator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Account:
    """An identity with the refs of its permission sets."""

    id: int
    login: str
    display_name: str | None
    frozen: bool
    created: datetime
    sets: list[str]
