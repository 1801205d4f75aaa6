"""Answer ``attune-agent health`` over an abstract Unix socket, and ask: no file system, no port, no shell is needed.

The launcher of the one-file agent asks the same questions without Python (``build/launcher/health.c``): names and
words must be the same in both. A connection carries one question, ``live`` or ``ready`` and a newline, and one answer,
``yes`` or the reason why not.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

from agent.presence.answering import answer_each

log = logging.getLogger(__name__)

#: As many agents may run in one container.
_MAX_AGENTS = 8
_BACKLOG = 16
#: Seconds that one asker may take; it gets its answer from a thread that has nothing else to do.
_PATIENCE = 1.0


class HealthSocket:
    """The body of the health thread."""

    def __init__(self, *, is_live: Callable[[], bool], why_not_ready: Callable[[], str | None]) -> None:
        """Ask the two callables at each question; they must not wait for anything.

        ``why_not_ready`` returns None, or what is not ready: a few words of one line.
        """
        self._answers: dict[bytes, Callable[[], str | None]] = {
            b"live": lambda: None if is_live() else "the agent does not work",
            b"ready": lambda: None if (why := why_not_ready()) is None else f"the agent is not ready: {why}",
        }
        self._stop = threading.Event()

    def run(self) -> None:
        """Answer until ``stop``. Without a free name the agent runs on, unheard."""
        listener = _listen()
        if listener is None:
            log.warning("can't listen for health checks: %d agents already listen in this container", _MAX_AGENTS)
            return
        answer_each(listener, self._answer, self._stop)

    def stop(self) -> None:
        """End ``run``."""
        self._stop.set()

    def _answer(self, asker: socket.socket) -> None:
        asker.settimeout(_PATIENCE)
        answer = self._answers.get(asker.recv(64).strip(), lambda: "unknown question")()
        asker.sendall(f"{answer or 'yes'}\n".encode())


def ask(question: str, timeout: float) -> str | None:
    """Ask the agents of this container; return None when one says yes, else the reason.

    Args:
        question: ``live`` or ``ready``.
        timeout: seconds for all of them together.
    """
    deadline = time.monotonic() + timeout
    reason = None
    for address in _addresses():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            try:
                # A stranger's socket that takes nobody must not use up the time in which ours would answer.
                asking.settimeout(max(0.001, min(deadline - time.monotonic(), timeout / _MAX_AGENTS)))
                asking.connect(address)
            except ConnectionRefusedError:
                continue
            except OSError:
                reason = reason or "no answer in time"
                continue
            asking.settimeout(max(0.001, deadline - time.monotonic()))
            answer = _ask_on(asking, question) if _is_trusted(asking) else "the socket belongs to another user"
        if answer == "yes":
            return None
        reason = reason or answer
    return reason or "no agent runs in this container"


def _ask_on(asking: socket.socket, question: str) -> str:
    try:
        asking.sendall(f"{question}\n".encode())
        with asking.makefile("r", encoding="utf-8") as answer:
            return answer.readline(256).strip() or "no answer"
    except OSError:
        return "no answer in time"


def _is_trusted(asking: socket.socket) -> bool:
    """Believe our own user and root, in our own PID namespace (unix(7): the process id is 0 in any other)."""
    pid, uid, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return pid != 0 and uid in (os.geteuid(), 0)


def _listen() -> socket.socket | None:
    for address in _addresses():
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            continue
        listener.listen(_BACKLOG)
        return listener
    return None


def _addresses() -> Iterator[str]:
    """Yield the names of this container's agents.

    Containers that share a network share the abstract sockets, too. The mount namespace and the root directory tell
    them apart: whoever is executed in a container has both in common with its agent.
    """
    mounts = ""
    with contextlib.suppress(OSError):
        mounts = os.readlink("/proc/self/ns/mnt")
    root = os.stat("/")
    for number in range(_MAX_AGENTS):
        yield f"\0attune-agent/health/{mounts}/{root.st_dev:x}.{root.st_ino:x}/{number}"
