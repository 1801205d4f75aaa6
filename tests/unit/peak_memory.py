"""What a piece of code needs at most, seen from outside: in a process of its own, as the kernel counts it."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import pathlib, re
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
{before}
begin = peak()
{measured}
print(peak() - begin)
"""


def growth(before: str, measured: str) -> int:
    """Run ``before``, then ``measured``; return by how many bytes the second raised the peak of resident memory."""
    program = _PROGRAM.format(before=before, measured=measured)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return int(done.stdout)
