"""The processes that proc(5) lists; none where /proc is missing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One process as it was a moment ago; ``resident`` is in bytes."""

    pid: int
    state: bytes
    parent: int
    group: int
    resident: int

    @property
    def has_ended(self) -> bool:
        """Whether only its parent's collecting it is left."""
        return self.state in b"ZX"


def processes() -> Iterator[Process]:
    """Yield all that can be read; one that ends meanwhile is left out."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    with open(f"/proc/{name}/stat", "rb", buffering=0) as stat:
                        # The command's name may hold anything, so count the fields after its closing parenthesis.
                        fields = stat.read(1024).rpartition(b")")[2].split()
                    yield Process(int(name), fields[0], int(fields[1]), int(fields[2]), int(fields[21]) * _PAGE)
