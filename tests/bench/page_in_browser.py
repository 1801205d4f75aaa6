"""What a reader of a log gets in a real Chromium: how soon a line is on the screen, and whether scrolling stalls."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import Browser, Page, sync_playwright

from tests.bench.control_side import Server, running_server
from tests.bench.latency import percentiles
from tests.bench.stack import Stack, add_action, start_agent, stop_agent

LINES = 100_000
_CLOCK_LINES = 150
# After the frame in which the line was drawn: when it was there, by the clock of the machine.
_WATCH = """() => {
  window.seen = [];
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
    const now = Date.now() / 1000, texts = [...document.querySelectorAll(".log .text")].map((one) => one.textContent);
    const lines = texts.join("").split("\\n");
    for (let n = window.seen.length; n < lines.length - 1; n++) window.seen.push([Number(lines[n]), now]);
  }))).observe(document.querySelector(".log"), {childList: true, subtree: true, characterData: true});
}"""


@dataclass(frozen=True)
class InBrowser:
    """Seconds: ``p50`` and ``p95`` of a line from its action to the screen; the longest task of the page's thread while
    100,000 lines are scrolled through, elapsed and of the processor; ``loaded`` until all of them were there."""

    p50: float
    p95: float
    longest: float
    longest_cpu: float
    loaded: float
    nodes: int


def in_browser(stack: Stack) -> InBrowser:
    """Watch a log that grows, then scroll through a large one."""
    agent, _ = start_agent(stack)
    try:
        with running_server(stack) as server, _page(server) as (browser, page):
            p50, p95 = percentiles(_latencies(stack, server, page))
            loaded = _open_large(stack, server, page)
            nodes = int(page.evaluate("document.querySelectorAll('*').length"))
            longest, longest_cpu = _scroll(browser, page)
    finally:
        stop_agent(stack, agent)
    return InBrowser(p50 / 1000, p95 / 1000, longest, longest_cpu, loaded, nodes)


@contextlib.contextmanager
def _page(server: Server) -> Iterator[tuple[Browser, Page]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(base_url=server.client.url, viewport={"width": 1280, "height": 800})
        cookie = {"name": "attune_access_token", "value": server.client.token, "url": server.client.url}
        context.add_cookies([cookie])  # type: ignore[list-item]
        try:
            yield browser, context.new_page()
        finally:
            browser.close()


def _latencies(stack: Stack, server: Server, page: Page) -> list[float]:
    text = f"sleep 3; i=0; while [ $i -lt {_CLOCK_LINES} ]; do date +%s.%N; sleep 0.07; i=$((i+1)); done\n"
    add_action(stack, "screen", text)
    made = server.client.ok("POST", "/api/v1/executions/execute", {"action_ref": "bench.screen"})["id"]
    page.goto(f"/executions/{made}")
    page.evaluate(_WATCH)
    while len(found := page.evaluate("window.seen")) < _CLOCK_LINES:
        time.sleep(0.5)
    return [seen - printed for printed, seen in found]


def _open_large(stack: Stack, server: Server, page: Page) -> float:
    add_action(stack, "large", f"seq -f 'line %g of a log that somebody scrolls through, and some more' 1 {LINES}\n")
    made = server.client.ok("POST", "/api/v1/executions/execute", {"action_ref": "bench.large"})["id"]
    while server.client.ok("GET", f"/api/v1/executions/{made}")["status"] != "completed":
        time.sleep(0.2)
    begin = time.perf_counter()
    page.goto(f"/executions/{made}")
    shown = "document.querySelector('[data-count=stdout]').textContent"
    while page.evaluate(shown).replace(",", "") != str(LINES) or "complete" not in page.inner_text("#live"):
        time.sleep(0.05)
    return time.perf_counter() - begin


def _scroll(browser: Browser, page: Page) -> tuple[float, float]:
    """Turn the wheel through a part, then jump to everywhere."""
    page.locator(".log").hover()
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline", "disabled-by-default-v8.gc"])
    for _ in range(60):
        page.mouse.wheel(0, 900)
        time.sleep(0.03)
    for share in (0.1, 0.9, 0.5, 0.0, 1.0, 0.3, 0.7):
        page.evaluate(
            "(share) => { const box = document.querySelector('.log'); box.scrollTop = share * box.scrollHeight }", share
        )
        time.sleep(0.1)
        for _ in range(10):
            page.mouse.wheel(0, 1500)
            time.sleep(0.03)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    threads = {
        (one["pid"], one["tid"])
        for one in events
        if one.get("name") == "thread_name" and one["args"].get("name") == "CrRendererMain"
    }
    tasks = [
        one
        for one in events
        if one.get("ph") == "X" and (one["pid"], one["tid"]) in threads and one["name"].endswith("RunTask")
    ]
    return max(one["dur"] for one in tasks) / 1e6, max(one.get("tdur", 0) for one in tasks) / 1e6
