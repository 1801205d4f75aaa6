"""Answer ``GET /metrics`` of a monitoring system: one question a connection, one at a time, each within two seconds."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from agent.errors import ConfigurationError
from agent.presence.answering import answer_each

_PATIENCE = 2.0
_BACKLOG = 16
_LONGEST_REQUEST = 8192


class MetricsServer:
    """The body of the metrics thread."""

    def __init__(self, address: str, text: Callable[[], str]) -> None:
        """Listen on ``address`` (``host:port``), answer with what ``text`` returns then.

        Raises:
            ConfigurationError: it is no address, or nobody can listen on it.
        """
        self._text = text
        self._stop = threading.Event()
        host, colon, port = address.rpartition(":")
        if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
            raise ConfigurationError(f"worker.metrics_address must be host:port, not {address!r}")
        host = host.removeprefix("[").removesuffix("]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigurationError(f"worker.metrics_address: can't listen on {address}: {error}") from error
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Answer until ``stop``."""
        answer_each(self._listener, self._answer, self._stop)

    def stop(self) -> None:
        """End ``run``."""
        self._stop.set()

    def _answer(self, asker: socket.socket) -> None:
        deadline = time.monotonic() + _PATIENCE
        request = b""
        while b"\r\n\r\n" not in request and len(request) < _LONGEST_REQUEST:
            asker.settimeout(max(0.001, deadline - time.monotonic()))
            chunk = asker.recv(_LONGEST_REQUEST)
            if not chunk:
                return
            request += chunk
        method, _, rest = request.partition(b" ")
        if method == b"GET" and rest.partition(b" ")[0].partition(b"?")[0] == b"/metrics":
            status, body = "200 OK", self._text().encode()
        else:
            status, body = "404 Not Found", b"only GET /metrics is answered\n"
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        asker.settimeout(_PATIENCE)
        asker.sendall(head.encode() + body)
