"""What the frozen program does first: take over what the launcher left for it, and load no more than it needs."""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock


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


def postpone(*names: str) -> None:
    """Let these modules be imported when something of them is first asked for, not when somebody imports them."""
    for name in names:
        sys.modules.setdefault(name, _Postponed(name))


_first_use = allocate_lock()


# `types` and `importlib` know better names for what is used here, but would have to be loaded first.
class _Postponed(type(sys)):  # type: ignore[misc]
    """Stands for a module until then; whoever has imported it by then keeps this, which is as good."""

    __name__: str

    def __getattr__(self, attribute: str) -> object:
        with _first_use:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        module = __import__(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, attribute)
