"""How soon the page answers with full tables, and how many bytes it is."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.bench.control_side import running_server
from tests.bench.full_tables import FINISHED, UNFIT, WAITING, clear, fill
from tests.bench.stack import Stack
from tests.bench.throughput import cpu_seconds

PAGES = (
    "/sign-in",
    "/executions",
    "/executions?status=failed",
    "/executions?status=requested",
    "/executions?action_ref=bench.*",
    "/executions/1",
    "/actions",
    "/actions/core.http_request",
    "/fleet",
    "/runtimes",
    "/runtimes/core.python",
    "/packs",
    "/packs/core",
    "/rules",
    "/events",
    "/keys",
    "/audit",
)
_TIMES = 60


@dataclass(frozen=True)
class PageCost:
    """``seconds`` until the first byte, of 95 in a hundred; ``spent`` of the server's processor for one; ``transfer``
    bytes of HTML as it is sent."""

    path: str
    seconds: float
    spent: float
    transfer: int


def page_costs(stack: Stack) -> list[PageCost]:
    """Return the cost of each page with a million executions."""
    with running_server(stack, "--only", "api") as server, stack.connect() as connection:
        fill(connection, finished=FINISHED, waiting=WAITING - UNFIT, unfit=UNFIT)
        first = connection.execute("SELECT min(id) FROM execution").fetchone()
        found = []
        headers = {"Cookie": f"attune_access_token={server.client.token}"}
        for path in PAGES:
            address = server.client.url + path.replace("/1", f"/{first[0] if first else 1}")
            seconds = []
            before = cpu_seconds(server.process.process.pid)
            for _ in range(_TIMES):
                begin = time.perf_counter()
                shown = {} if path == "/sign-in" else headers
                with server.client.http.stream("GET", address, headers=shown) as answer:
                    seconds.append(time.perf_counter() - begin)
                    size = len(answer.read())
                assert answer.status_code == 200, f"{path}: {answer.status_code}"
            spent = (cpu_seconds(server.process.process.pid) - before) / _TIMES
            found.append(PageCost(path, sorted(seconds)[int(0.95 * _TIMES)], spent, size))
        clear(connection)
    return found
