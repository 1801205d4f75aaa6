"""What a process has in memory."""

from __future__ import annotations

import os
import resource
from pathlib import Path


def resident(pid: int | None = None) -> int:
    """Resident bytes of a process, by default of this one."""
    pages = Path(f"/proc/{os.getpid() if pid is None else pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
