"""What is said of an event and of each rule that might have had something to do with it (values only)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class RuleOutcome:
    """What a rule made of the event. ``outcome`` is started, failed, no_match, disabled, not_asked or would_match."""

    rule_ref: str
    outcome: str
    sentence: str
    execution: int | None = None


@dataclass(frozen=True)
class Explained:
    """``sentence`` is the whole in one; ``rules`` are those of its trigger, as they are now."""

    event: int
    trigger_ref: str
    created: datetime
    processed: datetime | None
    sentence: str
    rules: list[RuleOutcome]
