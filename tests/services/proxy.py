"""A network that misbehaves on purpose: a TCP proxy in front of a server.

It can cut, reset, refuse and hold connections; delay, throttle, keep back and swallow bytes; and break a connection in
the middle of a statement.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import quote, urlsplit

from psycopg.conninfo import conninfo_to_dict

from agent.threads import ThreadGroup
from tests.services.waiting import PATIENCE
from tests.services.waiting import until as until

_CHUNK = 65536
#: What PostgreSQL sends when it is ready for the next query, outside any transaction (protocol 3, ReadyForQuery).
_IDLE = b"Z\x00\x00\x00\x05I"

Fault = Literal["lose request", "lose answer", "send twice"]


class _Pair:
    """A connection and its continuation to the server. The last of the two threads that serve it closes both.

    Nobody else does: a thread that waits for a socket must not find its number given to another connection.
    """

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.severed = False
        self._lock = threading.Lock()
        self._served_by = 2

    def end(self) -> None:
        """End it for both sides; for the client only where the server is to believe in it."""
        _end(self.client, *(() if self.severed else (self.server,)))

    def release(self) -> None:
        """Note that one of its threads is done."""
        with self._lock:
            self._served_by -= 1
            if self._served_by == 0:
                self.client.close()
                self.server.close()


class Proxy:
    """Forwards connections to a server until it is told otherwise. All methods may be called from any thread."""

    def __init__(self, connect: Callable[[], socket.socket], *, address: str = "127.0.0.1") -> None:
        """Listen on a free port of ``address``; ``connect`` opens a connection to the server."""
        self._connect = connect
        self._listener = socket.create_server((address, 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Condition()
        self._pairs: list[_Pair] = []
        self._held: list[socket.socket] = []
        self._severed: list[_Pair] = []
        self._limit: int | None = None
        self._refusing = self._resetting = False
        self._faults: list[tuple[bytes, bytes, Fault]] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._swallowing = False
        self._delay = 0.0
        self._rate = math.inf
        self._closing = False
        self.accepted = self.pieces = 0
        self._threads = ThreadGroup()
        self._threads.start("proxy-accept", self._accept)

    def lead_to(self, connect: Callable[[], socket.socket]) -> None:
        """Open new connections to another server, as a balancer does whose first server is gone."""
        self._connect = connect

    # --- how connections end ---

    def cut(self) -> None:
        """Break every connection; new ones are welcome."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.end()

    def sever(self) -> None:
        """Break every connection for the client only: the server goes on believing in it."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            self._severed += pairs
            for pair in pairs:
                pair.severed = True
        for pair in pairs:
            pair.end()

    def expire(self) -> None:
        """Let the server learn which connections were severed, as it does from unanswered keepalives."""
        with self._lock:
            severed, self._severed = self._severed, []
        _end(*(pair.server for pair in severed))

    def refuse(self) -> None:
        """Break every connection and every new one, as a server does that is down."""
        self._refusing = True
        self.cut()

    def reset(self) -> None:
        """Take new connections and reset each at once, as a balancer does whose server is gone; break the others."""
        self._resetting = True
        self.cut()

    def accept(self) -> None:
        """End every fault: forward new connections again, and those that were held."""
        with self._lock:
            self._refusing, self._resetting, self._limit = False, False, None
            held, self._held = self._held, []
        self._delay, self._rate, self._swallowing = 0.0, math.inf, False
        self._flowing.set()
        for client in held:
            self._forward(client)

    def hold_after(self, connections: int) -> None:
        """Take further connections than so many from now on, but forward nothing of them until ``accept``."""
        with self._lock:
            self._limit = connections

    # --- how bytes travel ---

    def pause(self) -> None:
        """Be silent: take connections and what buffers hold, but forward nothing until ``accept``."""
        self._flowing.clear()

    def swallow(self) -> None:
        """Lose what is sent in either direction, as a host does that has vanished, until ``accept``."""
        self._swallowing = True

    def slow_down(self, *, delay: float = 0.0, rate: float = math.inf) -> None:
        """Forward each piece ``delay`` seconds late, and at most ``rate`` bytes a second of each connection."""
        self._delay, self._rate = delay, rate

    @property
    def held(self) -> int:
        """How many connections wait for ``accept``."""
        return len(self._held)

    @property
    def connections(self) -> int:
        """How many connections are forwarded now."""
        return len(self._pairs)

    def inject(self, marker: bytes, fault: Fault, *, after: bytes = b"") -> None:
        """Break the first connection on which the client sends ``marker``, before or after the server has acted.

        With ``lose answer`` the server (PostgreSQL) gets the request and commits; its answer never arrives. Only a
        connection counts on which the client has sent ``after`` before. With ``send twice`` (RabbitMQ) nothing breaks:
        the frame of the marker reaches the server once more.
        """
        with self._lock:
            self._faults.append((marker, after, fault))

    def wait_for_faults(self) -> None:
        """Wait until everything that was injected has happened."""
        with self._lock:
            assert self._lock.wait_for(lambda: not self._faults, PATIENCE), f"nobody sent {self._faults[0][0]!r}"

    def close(self) -> None:
        """Stop."""
        self._closing = True
        self._listener.close()
        self._flowing.set()
        self.cut()
        self.expire()
        _shut(*self._held)
        assert not self._threads.join(PATIENCE)

    def _accept(self) -> None:
        while not self._closing:
            try:
                if not select.select([self._listener], [], [], 0.1)[0]:
                    continue
                client, _ = self._listener.accept()
            except (OSError, ValueError):
                return
            self.accepted += 1
            with self._lock:
                if self._resetting:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
                    continue
                if self._refusing:
                    _shut(client)
                    continue
                if self._limit is not None:
                    if self._limit <= 0:
                        self._held.append(client)
                        continue
                    self._limit -= 1
            self._forward(client)

    def _forward(self, client: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:
            _shut(client)
            return
        with self._lock:
            if self._closing or self._refusing or self._resetting:  # since it was accepted
                _shut(client, server)
                return
            server.settimeout(None)  # it was for connecting
            pair = _Pair(client, server)
            self._pairs.append(pair)
        self._threads.start("proxy-requests", lambda: self._serve(pair, self._requests))
        self._threads.start("proxy-answers", lambda: self._serve(pair, self._answers))

    def _serve(self, pair: _Pair, direction: Callable[[_Pair], bool]) -> None:
        try:
            if direction(pair):
                with self._lock:
                    if pair in self._pairs:
                        self._pairs.remove(pair)
                pair.end()
        finally:
            pair.release()

    def _requests(self, pair: _Pair) -> bool:
        """Forward what the client sends; False where the answers decide when the connection ends."""
        client, server = pair.client, pair.server
        passed: set[bytes] = set()
        with contextlib.suppress(OSError):
            while data := client.recv(self._piece):
                fault = self._due(data, passed)
                if fault == "lose answer":
                    _end(client)  # first, so that nothing of the answer gets through
                    server.sendall(data)
                    self._happened()
                    return False
                if fault == "lose request":
                    self._happened()
                    break
                if fault == "send twice":
                    data += _frame(data, self._happened())
                if self._travels(data):
                    server.sendall(data)
        return True

    def _answers(self, pair: _Pair) -> bool:
        """Forward answers; where the client has gone, read on until the server has finished its work."""
        client, server, gone = pair.client, pair.server, False
        with contextlib.suppress(OSError):
            while data := server.recv(self._piece):
                if not gone and self._travels(data):
                    try:
                        client.sendall(data)
                    except OSError:
                        gone = True
                if gone and _IDLE in data and not pair.severed:
                    break
        return True

    @property
    def _piece(self) -> int:
        """How many bytes are forwarded at once."""
        return _CHUNK if self._rate == math.inf else max(1, int(self._rate / 20))

    def _travels(self, data: bytes) -> bool:
        """Let a piece take its time; False when it is lost."""
        self.pieces += 1
        self._flowing.wait()
        if self._delay:
            time.sleep(self._delay)
        if self._rate != math.inf:
            time.sleep(len(data) / self._rate)
        return not self._swallowing

    def _due(self, data: bytes, passed: set[bytes]) -> Fault | None:
        """Return the fault that is due; ``passed`` are the markers that this connection has left behind."""
        with self._lock:
            passed.update(after for _, after, _ in self._faults if after in data)
            return next((fault for marker, after, fault in self._faults if marker in data and after in passed), None)

    def _happened(self) -> bytes:
        """Strike the first fault off; return its marker."""
        with self._lock:
            marker, _, _ = self._faults.pop(0)
            self._lock.notify_all()
            return marker


def _frame(data: bytes, marker: bytes) -> bytes:
    """Return the frame of AMQP whose payload begins with ``marker``: type, channel, size, payload, end."""
    start = data.index(marker) - 7
    return data[start : start + 8 + int.from_bytes(data[start + 3 : start + 7], "big")]


def _end(*sockets: socket.socket) -> None:
    """End streams in both directions; whoever waits for them wakes up."""
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _shut(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def database_proxy(url: str, *, address: str = "127.0.0.1") -> Iterator[tuple[Proxy, str]]:
    """Put a proxy in front of a PostgreSQL server; give it and the URL that leads through it."""
    given = conninfo_to_dict(url)
    host, port = str(given.get("host") or "localhost"), int(str(given.get("port") or 5432))

    def connect() -> socket.socket:
        if not host.startswith("/"):
            return socket.create_connection((host, port), PATIENCE)
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    proxy = Proxy(connect, address=address)
    try:
        user, password = (
            quote(str(given.get(key) or default)) for key, default in (("user", "postgres"), ("password", ""))
        )
        yield proxy, f"postgresql://{user}:{password}@{address}:{proxy.port}/{given['dbname']}?sslmode=disable"
    finally:
        proxy.close()


@contextmanager
def broker_proxy(url: str, *, address: str = "127.0.0.1") -> Iterator[tuple[Proxy, str]]:
    """Put a proxy in front of a RabbitMQ server; give it and the URL that leads through it."""
    parts = urlsplit(url)
    place = (parts.hostname or "localhost", parts.port or 5672)
    proxy = Proxy(lambda: socket.create_connection(place, PATIENCE), address=address)
    try:
        credentials, at, _ = parts.netloc.rpartition("@")
        yield proxy, parts._replace(netloc=f"{credentials}{at}{address}:{proxy.port}").geturl()
    finally:
        proxy.close()
