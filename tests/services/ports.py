"""Ports for the servers of tests."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 on which nobody listens.

    They lie below those that the kernel gives to outgoing connections: a server that takes seconds to start would
    find one of those taken now and then, on a machine that is in use.
    """
    end = int(_RANGE.read_text().split()[0])
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(max(1024, end - 16_000), end)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return sorted(found)
