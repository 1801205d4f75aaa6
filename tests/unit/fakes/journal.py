"""What happened in which order, across all fakes of one test."""

from __future__ import annotations

Entry = tuple[str | int, ...]


class Journal:
    """Entries such as ``("claimed", 7)``: what happened, the execution, and what else belongs to it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, what: str, execution_id: int, *more: str) -> None:
        """Note one event."""
        self.entries.append((what, execution_id, *more))

    def of(self, execution_id: int) -> list[str]:
        """What happened to one execution, in words: ``claimed``, ``announced running``."""
        return [
            " ".join(str(word) for word in (entry[0], *entry[2:])) for entry in self.entries if entry[1] == execution_id
        ]

    def ids(self, what: str, *more: str) -> list[int]:
        """The executions to which something happened, in that order."""
        return [int(entry[1]) for entry in self.entries if entry[0] == what and entry[2:] == more]
