"""What the frozen program does first: take over what the launcher left for it in the environment and in descriptors."""

from __future__ import annotations

import os
import sys


def settle() -> None:
    """Keep the lock on the unpacked files out of children; let ``sys.executable`` name what can be started.

    The launcher (``build/launcher/start.c``) hands over the path of the one-file agent and the descriptor that holds a
    shared lock on the unpacked files. Outside the frozen program both are missing and nothing happens.
    """
    lock = os.environ.get("ATTUNE_LAUNCHER_LOCK", "")
    if lock.isdecimal():
        os.set_inheritable(int(lock), False)
    program = os.environ.get("ATTUNE_LAUNCHER_SELF")
    if program is not None:
        sys.executable = program
