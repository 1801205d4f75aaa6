"""End long-running children should this process be killed, which then can't: a small process that waits for that.

The kernel's own signal for it (PR_SET_PDEATHSIG) has to be asked for by the child itself, between fork and exec, and
comes when the thread ends that started it. The guardian is forked before there is a second thread, so that it shares
this program's memory, and it does nothing but wait for the end of a pipe.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import struct
import sys
import time
from types import TracebackType

from agent.process.children import CHILDREN
from agent.process.leftovers import kill_marked
from agent.process.prctl import name_process

log = logging.getLogger(__name__)

#: What goes through the pipe: the id of a child that has started, the negative of one that has ended, or zero and the
#: mark, which is known only later.
_MESSAGE = struct.Struct("=q120s")
#: Seconds that children get from SIGTERM to SIGKILL: whoever takes their work over waits for longer.
GRACE = 2.0
_LOOK = 0.02


class Guardian:
    """Knows which children run; it kills them, with all that they have started, when this process is gone."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._pipe = -1
        self._pid = 0
        self._complained = False

    def __enter__(self) -> Guardian:
        """Start it; only before there is a second thread."""
        reading, self._pipe = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(self._pipe)
            _guard(reading)
        os.close(reading)
        self._pid = pid
        with CHILDREN.starting() as mine:
            mine.add(pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and with it whatever child still runs."""
        os.close(self._pipe)
        self._pipe = -1
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        CHILDREN.release(self._pid)

    def recognise(self, mark: str) -> None:
        """Say what children leave behind: what has a variable that begins so (``NAME=val``) in its environment."""
        self._tell(0, mark)

    def watch(self, pid: int) -> None:
        """Note that a child runs, which leads its process group; from any thread."""
        self._tell(pid)

    def forget(self, pid: int) -> None:
        """Note that a child, and its whole group, has ended; from any thread."""
        self._tell(-pid)

    def _tell(self, number: int, mark: str = "") -> None:
        try:
            os.write(self._pipe, _MESSAGE.pack(number, mark.encode()))  # less than a pipe takes in one piece
        except OSError as error:
            if not self._complained:
                log.error("nobody would end the sensors should this process be killed: %s", error)
            self._complained = True


def _guard(pipe: int) -> None:
    """Wait for the end of the other process; never returns."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        os.setsid()  # a signal to the group of the other process is not meant for this one
        name_process("attune-guardian")
        known: dict[int, int] = {}
        mark = ""
        while data := _read(pipe):
            number, text = _MESSAGE.unpack(data)
            if number:
                _note(known, number)
            else:
                mark = text.rstrip(b"\0").decode()
        _end(known, mark)
    finally:
        sys.stderr.flush()
        os._exit(0)


def _read(pipe: int) -> bytes:
    data = b""
    while len(data) < _MESSAGE.size:
        piece = os.read(pipe, _MESSAGE.size - len(data))
        if not piece:
            return b""
        data += piece
    return data


def _note(known: dict[int, int], number: int) -> None:
    if number > 0:
        descriptor = -1
        with contextlib.suppress(OSError):  # it has ended already, or Linux is older than 5.3
            descriptor = os.pidfd_open(number)
        known[number] = descriptor
    elif (descriptor := known.pop(-number, -1)) >= 0:
        os.close(descriptor)


def _end(known: dict[int, int], mark: str) -> None:
    """Ask them to end, and kill them when they don't: a group's id is not given away while it has a member."""
    for pid in known:
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while (running := [fd for fd in known.values() if fd >= 0 and not _has_ended(fd)]) and time.monotonic() < deadline:
        select.select(running, [], [], _LOOK)
    for pid in known:
        _signal(pid, signal.SIGKILL)
    if mark:
        kill_marked(mark, orphans_only=False)


def _has_ended(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, number)
