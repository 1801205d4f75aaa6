"""The bytes of one version of an artifact, read from any byte on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class ArtifactContent(Protocol):
    """Open until ``close``; what is read is always that of ``sha256``, or an error."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    @property
    def sha256(self) -> str:
        """The digest of all of them, in hexadecimal."""

    def read_from(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes behind ``offset``. Raises AgentError."""

    def close(self) -> None:
        """Let go of it."""
