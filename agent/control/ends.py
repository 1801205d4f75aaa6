"""The end of an execution that somebody else than its worker wrote, and what is told about it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from agent.mq.broker import Outgoing
from agent.mq.outgoing_messages import execution_completed, status_changed


class Ended(NamedTuple):
    """A row that has just been brought to its end: the columns of the statements that end rows."""

    id: int
    action_id: int | None
    action_ref: str
    previous: str
    status: str
    result: Any
    updated: datetime


def announcements(ended: Iterable[Ended]) -> list[Outgoing]:
    """Return what is told about ends: the change of the status and, for a known action, the completion."""
    messages: list[Outgoing] = []
    for one in ended:
        messages.append(status_changed(one.id, one.action_ref, one.previous, one.status, changed_at=one.updated))
        if one.action_id is not None:
            messages.append(
                execution_completed(
                    one.id, one.action_id, one.action_ref, one.status, one.result, completed_at=one.updated
                )
            )
    return messages
