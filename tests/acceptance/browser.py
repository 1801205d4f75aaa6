"""A real Chromium and a deployment that `attune up` made, shared by the tests of the page."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.acceptance.command import ROOT, run
from tests.services.server import ApiClient

SCREENSHOTS = ROOT / "var" / "screenshots"
_WIDE, _NARROW, _HUGE = (
    {"width": width, "height": height} for width, height in ((1280, 800), (360, 740), (3840, 2160))
)


@dataclass
class Deployment:
    """What runs: its address, its first account, its directory."""

    url: str
    password: str
    directory: Path
    http: httpx.Client

    @property
    def settings(self) -> dict[str, str]:
        """The environment of the operator's commands."""
        return {"ATTUNE_CONFIG": str(self.directory / "config.yaml")}

    def execute(self, statement: LiteralString, *values: Any) -> None:
        """Run a statement in its database."""
        url = json.loads((self.directory / "config.yaml").read_text())["database"]["url"]
        with psycopg.connect(url) as connection:
            connection.execute("SET search_path TO attune, public")
            connection.execute(statement, values)

    @cached_property
    def api(self) -> ApiClient:
        """A client of its API with the first account."""
        return ApiClient(self.url, http=self.http).login("admin", self.password)


@contextmanager
def deployment() -> Iterator[Deployment]:
    """Run `attune up` for the length of the block."""
    place = Path(tempfile.mkdtemp(prefix="attune-page-"))
    place.chmod(0o755)
    site = place / "site"
    try:
        done = run("attune", "up", "--directory", str(site), "--detach", "--port", "0", "--json", timeout=180)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        with httpx.Client(timeout=30.0, trust_env=False) as http:
            yield Deployment(found["url"], found["password"], site, http)
    finally:
        run("attune", "down", "--directory", str(site), timeout=120)
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser for the length of the block."""
    program = shutil.which("chromium")
    assert program, "no chromium: scripts/services.sh"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Reader:
    """Somebody at a browser; what the console complains of is remembered."""

    def __init__(self, browser: Browser, deployment: Deployment, *, url: str | None = None, **options: Any) -> None:
        """Open a window of its own, signed out."""
        self.deployment = deployment
        self.context: BrowserContext = browser.new_context(base_url=url or deployment.url, viewport=_WIDE, **options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def sign_in(self, login: str = "admin", password: str | None = None) -> Reader:
        """Sign in by the form."""
        self.page.goto("/")
        self.page.fill("#login", login)
        self.page.fill("#password", self.deployment.password if password is None else password)
        self.page.click("button.primary")
        return self

    def open(self, path: str) -> Page:
        """Go to a page."""
        self.page.goto(path)
        return self.page

    def violations(self, *, dark: bool) -> list[str]:
        """Ask axe what is wrong with the page as it is."""
        self.page.emulate_media(color_scheme="dark" if dark else "light")
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        found = self.page.evaluate("axe.run()")
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary', '')[:300]}"
            for one in found["violations"]
        ]

    def pictures(self, name: str, *, huge: bool = False) -> None:
        """Keep what it looks like: light, dark, narrow, and with ``huge`` on a very large screen."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        kinds = [("dark", "dark", _WIDE), ("narrow", "light", _NARROW), ("light", "light", _WIDE)]
        for kind, scheme, size in [*kinds, *([("4k", "dark", _HUGE)] if huge else [])]:
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            self.page.set_viewport_size(size)  # type: ignore[arg-type]
            self.page.screenshot(path=SCREENSHOTS / f"{name}-{kind}.png")
