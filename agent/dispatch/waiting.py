"""For how long there has been no worker for a demand; kept in memory, because a restart may only lengthen it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Key = tuple[int, str]
"""An action and the hash of an execution's own placement."""


class Waiting:
    """The demands that nobody fits, each with the moment since when."""

    def __init__(self, patience: float) -> None:
        """``patience`` is in seconds; 0 means that nobody is waited for."""
        self._patience = patience
        self._since: dict[Key, float] = {}

    def update(self, unfit: Iterable[Key], now: float) -> list[Key]:
        """Take note of what fits nobody now; return what has fitted nobody for the whole patience."""
        before: Mapping[Key, float] = self._since
        self._since = {key: before.get(key, now) for key in unfit}
        return [key for key, since in self._since.items() if now - since >= self._patience]

    def __len__(self) -> int:
        """Count the demands that wait for a worker that fits."""
        return len(self._since)
