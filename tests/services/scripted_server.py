"""HTTP servers that follow a script, over real connections."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class Script(http.server.ThreadingHTTPServer):
    """Gives one answer after the other, the last one for ever; ``seen`` are the requests."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        lock = threading.Lock()
        script = self

        class Scripted(Handler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with lock:
                    script.seen.append((self.command, self.path, headers, body))
                    answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                answer(self)

            do_GET = do_HEAD = do_PUT = do_PATCH = do_POST = handle_any  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Scripted)


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Answer with this status, body and headers."""

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return answer


def breaks_off(body: bytes, after: int, **headers: str) -> Answer:
    """Promise ``body``, and end the connection after so many bytes of it."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:after])
        handler.close_connection = True

    return answer


def digest(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
