"""The page of the server in a real browser: from `attune up` to an execution that was watched, stopped, run again."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import SCREENSHOTS, Deployment, Reader
from tests.acceptance.command import run
from tests.services.proxy import Proxy
from tests.services.waiting import until

pytestmark = pytest.mark.postgres

PAGES = (
    *("executions", "executions/1", "executions/2", "actions", "actions/core.http_request", "fleet", "fleet/1"),
    *("runtimes", "runtimes/core.python", "packs", "packs/examples", "rules", "triggers", "sensors", "events"),
    *("keys", "audit"),
)
# Those that differ most on a very large screen.
_HUGE = ("executions/2", "fleet", "sign-in")
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def site(site: Deployment) -> Deployment:
    command = r"printf '\033[1;32mcompiling\033[0m module one\nmodule two \033[33mwarns\033[0m\n'; echo done; exit 2"
    for action, parameters in (("examples.hello_shell", {"name": "you"}), ("core.run_command", {"command": command})):
        made = site.api.ok("POST", "/api/v1/executions", {"action_ref": action, "parameters": parameters})["id"]
        _ended(site, made)
    return site


@pytest.fixture(scope="module")
def onlooker(browser: Browser, site: Deployment) -> Iterator[Reader]:
    """Somebody who looks at one page after the other."""
    found = Reader(browser, site).sign_in()
    yield found
    found.context.close()


_DEPLOY = """
ref: web.deploy
label: Deploy
description: Rolls a release out, machine by machine
runner_type: shell
entry_point: deploy.sh
parameters:
  release: {type: string, required: true}
  stage: {type: string, enum: [staging, production]}
  token: {type: string, secret: true}
"""
_SCRIPT = r"""#!/bin/sh
printf 'web 4.2.0 to \033[1mproduction\033[0m, 4 machines\n'
for machine in web-1 web-2 web-3 web-4; do printf '  %s  \033[32mok\033[0m  81 files in 0.4 s\n' "$machine"; done
printf '\033[33mwarning\033[0m: web-3 answered late, asked again\n' >&2
printf '\033[1;32m4.2.0 is up\033[0m\n'
"""


def _ended(site: Deployment, execution: int) -> str:
    api = site.api
    ends = ("completed", "failed", "cancelled")
    until(lambda: api.ok("GET", f"/api/v1/executions/{execution}")["status"] in ends, "an end", timeout=60)
    return str(api.ok("GET", f"/api/v1/executions/{execution}")["status"])


def test_an_action_is_started_watched_while_it_writes_and_cancelled(reader: Reader) -> None:
    page = reader.open("/actions/core.run_command")
    page.locator("[id='p.command']").fill("echo one; sleep 1; echo two >&2; exec sleep 300")
    page.click("button.primary")
    expect(page.locator(".log")).to_contain_text("one", timeout=20_000)
    expect(page.locator(".log .is-stderr")).to_contain_text("two", timeout=20_000)
    expect(page.locator(".head .status")).to_contain_text("running")
    page.locator("button:text-is('Cancel'):not([disabled])").click()
    expect(page.locator(".head .status")).to_contain_text("cancelled", timeout=30_000)
    page.locator("button:has-text('Retry'):not([disabled])").click()
    expect(page.locator(".log")).to_contain_text("one", timeout=20_000)
    page.locator("button:text-is('Cancel'):not([disabled])").click()
    expect(page.locator(".head .status")).to_contain_text("cancelled", timeout=30_000)
    expect(page).to_have_title(re.compile("cancelled - core.run_command"))
    assert reader.complaints == []


def test_a_form_says_what_is_missing_and_keeps_what_was_typed(reader: Reader) -> None:
    page = reader.open("/actions/core.http_request")
    page.locator("[id='p.body']").fill("kept words")
    page.locator("[id='p.query']").fill("{not json")
    page.click("button.primary")
    expect(page.locator(".notice.bad")).to_contain_text("url is required")
    expect(page.locator(".notice.bad")).to_contain_text("query must be a JSON object")
    expect(page.locator("[id='p.body']")).to_have_value("kept words")
    assert "attune run core.http_request" in page.inner_text("main")


def test_one_form_sent_twice_starts_one_execution(reader: Reader) -> None:
    page = reader.open("/actions/core.noop")
    once = page.locator("[name=once]").get_attribute("value")
    csrf = page.locator("main [name=csrf]").first.get_attribute("value")
    form = {"once": str(once), "csrf": str(csrf)}
    answers = [page.request.post("/actions/core.noop", form=form, max_redirects=0) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 303]
    assert len({answer.headers["location"] for answer in answers}) == 1


def test_hostile_words_stay_words(reader: Reader) -> None:
    page = reader.open("/actions/core.run_command")
    page.locator("[id='p.command']").fill(
        f"echo '{HOSTILE}'; printf '\\033]0;owned\\007\\033]8;;javascript:alert(1)\\033\\\\link'; "
        "printf '\\033]8;;\\033\\\\ end\\n'; exit 1"
    )
    page.click("button.primary")
    expect(page.locator(".log")).to_contain_text("<script>", timeout=20_000)
    expect(page.locator(".log")).to_contain_text("link end")
    expect(page.locator(".head .status")).to_contain_text("failed")
    assert page.locator("main script, main img, .log a[href^=javascript]").count() == 0
    assert "owned" not in page.title()
    page.goto("/executions?action_ref=" + HOSTILE.replace("<", "%3C").replace(">", "%3E"))
    expect(page.locator(".chip")).to_contain_text("<script>")
    page.goto("/actions?q=%3Cscript%3E")
    assert "owned" not in page.title()
    assert reader.complaints == []


def test_a_broken_stream_is_said_and_goes_on_where_it_was(browser: Browser, site: Deployment) -> None:
    port = int(site.url.rpartition(":")[2])
    proxy = Proxy(lambda: socket.create_connection(("127.0.0.1", port)))
    reader = Reader(browser, site, url=f"http://127.0.0.1:{proxy.port}").sign_in()
    page = reader.page
    page.wait_for_url("**/executions")
    gate = site.directory.parent / "gate"
    command = f"for i in $(seq 1 20); do echo line $i; done; while [ ! -e {gate} ]; do sleep 0.1; done; echo last"
    body = {"action_ref": "core.run_command", "parameters": {"command": command}}
    made = site.api.ok("POST", "/api/v1/executions", body)["id"]
    try:
        page.goto(f"/executions/{made}")
        expect(page.locator(".log")).to_contain_text("line 20", timeout=20_000)
        proxy.refuse()
        proxy.cut()
        expect(page.locator("#live")).to_contain_text("reconnecting", timeout=20_000)
        gate.touch()
        proxy.accept()
        expect(page.locator("#live")).to_contain_text("complete", timeout=40_000)
        expect(page.locator(".log")).to_contain_text("last")
        lines = "".join(page.locator(".text").all_text_contents()).splitlines()
        assert lines == [*(f"line {number}" for number in range(1, 21)), "last"]
    finally:
        gate.touch()
        reader.context.close()
        proxy.close()


def test_the_keyboard_is_enough(reader: Reader) -> None:
    page = reader.open("/executions")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/executions/\d+$"))
    page.keyboard.press("Escape")
    page.wait_for_url("**/executions")
    page.keyboard.press("/")
    page.keyboard.type("core.run_command")
    page.keyboard.press("Enter")
    page.wait_for_url("**action_ref=core.run_command*")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url("**/fleet")
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()


def test_what_an_account_may_not_is_neither_shown_nor_done(browser: Browser, site: Deployment) -> None:
    identity = site.api.ok("POST", "/api/v1/identities", {"login": "viewer", "password": "look-only-1"})["id"]
    assigned = {"identity_id": identity, "permission_set_ref": "core.viewer"}
    site.api.ok("POST", "/api/v1/permissions/assignments", assigned)
    viewer = Reader(browser, site).sign_in("viewer", "look-only-1")
    page = viewer.open("/actions/core.noop")
    expect(page.locator("button.primary")).to_be_disabled()
    csrf = page.locator("main [name=csrf]").first.get_attribute("value")
    assert page.request.post("/actions/core.noop", form={"csrf": str(csrf)}, max_redirects=0).status == 403
    assert page.request.get("/audit").status == 403
    assert page.locator("nav >> text=Audit").count() == 0
    viewer.context.close()


def test_a_form_of_another_site_and_one_without_proof_change_nothing(reader: Reader) -> None:
    page = reader.open("/actions/core.noop")
    csrf = str(page.locator("main [name=csrf]").first.get_attribute("value"))
    foreign = {"Origin": "https://elsewhere.example"}
    assert page.request.post("/actions/core.noop", form={"csrf": csrf}, headers=foreign, max_redirects=0).status == 403
    assert page.request.post("/actions/core.noop", form={"csrf": "x"}, max_redirects=0).status == 403
    cookies = {cookie["name"]: cookie for cookie in reader.context.cookies()}
    assert all(cookies[name]["httpOnly"] for name in ("attune_access_token", "attune_refresh_token"))
    assert cookies["attune_access_token"]["sameSite"] == "Lax"


def test_signing_out_ends_it_and_a_wrong_password_is_said(reader: Reader) -> None:
    page = reader.open("/executions")
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in")
    page.goto("/keys")
    page.wait_for_url("**/sign-in?next=*")
    page.fill("#login", "admin")
    page.fill("#password", "not the password")
    page.click("button.primary")
    expect(page.locator("[role=alert]")).to_contain_text("Invalid login or password")


def test_everything_works_without_script(browser: Browser, site: Deployment) -> None:
    still = Reader(browser, site, java_script_enabled=False).sign_in()
    page = still.open("/actions/examples.hello_shell")
    page.click("button.primary")
    page.wait_for_url(re.compile(r"/executions/\d+$"))
    _ended(site, int(page.url.rpartition("/")[2]))
    page.reload()
    assert "Hello, World!" in page.inner_text("main")
    still.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_accessible_and_looks_like_this(onlooker: Reader, path: str) -> None:
    page = onlooker.open(f"/{path}")
    page.wait_for_load_state("load")
    if path.startswith("executions/"):
        expect(page.locator("#live")).to_contain_text("complete", timeout=20_000)
    _looked_at(onlooker, path)


def test_signing_in_is_accessible_and_looks_like_this(browser: Browser, site: Deployment) -> None:
    stranger = Reader(browser, site)
    stranger.open("/sign-in")
    _looked_at(stranger, "sign-in")
    stranger.context.close()


def _looked_at(reader: Reader, path: str) -> None:
    for width, dark in ((1280, False), (1280, True), (360, False), (3840, True)):
        reader.page.set_viewport_size({"width": width, "height": 800})
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
        if width < 3840 or path in _HUGE:
            assert reader.violations(dark=dark) == []
    reader.pictures(path.replace("/", "-"), huge=path in _HUGE)
    assert reader.complaints == []


def test_an_empty_list_says_what_to_do_next(onlooker: Reader) -> None:
    for path, words, way in (
        ("executions?status=timeout", "Nothing matches", "a:text('show all executions')"),
        ("fleet?health_state=offline", "No worker is offline", "a:text('Show all workers')"),
        ("actions?q=nothing_is_called_so", "Nothing matches", "a:text('Show all actions')"),
        ("events", "Nothing has happened", "pre:text('attune event send')"),
        ("keys", "There is no key yet", "button:text('Store')"),
        ("packs/core", "None: its actions have run nowhere yet", "h2:text('Actions')"),
    ):
        page = onlooker.open(f"/{path}")
        expect(page.locator(".empty")).to_contain_text(words)
        assert page.locator(f"main {way}").count() >= 1, path


def test_an_address_that_nothing_has_says_so_within_the_page(reader: Reader) -> None:
    page = reader.open("/nowhere/at/all")
    assert "Not found" in page.inner_text("h1")
    assert page.locator("nav >> text=Executions").count() == 1
    assert page.request.get("/api/v1/nowhere", headers={"Accept": "text/html"}).body() == b""


def test_the_picture_of_the_readme(reader: Reader, tmp_path: Path) -> None:
    pack = tmp_path / "web"
    (pack / "actions").mkdir(parents=True)
    (pack / "pack.yaml").write_text("ref: web\nlabel: Web\nversion: 4.2.0\n")
    (pack / "actions" / "deploy.yaml").write_text(_DEPLOY)
    (pack / "actions" / "deploy.sh").write_text(_SCRIPT)
    done = run("attune", "pack", "register", str(pack), settings=reader.deployment.settings)
    assert done.returncode == 0, done.stderr
    body = {"action_ref": "web.deploy", "parameters": {"release": "4.2.0", "stage": "production", "token": "s3cret"}}
    made = reader.deployment.api.ok("POST", "/api/v1/executions", body)["id"]
    assert _ended(reader.deployment, made) == "completed"
    page = reader.open(f"/executions/{made}")
    expect(page.locator("#live")).to_contain_text("complete", timeout=20_000)
    expect(page.locator("main")).to_contain_text("is up")
    assert "s3cret" not in page.content()
    page.set_viewport_size({"width": 1280, "height": 800})
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "readme.png")


def test_what_waits_says_why_in_the_list_and_on_its_page(reader: Reader) -> None:
    body = {"action_ref": "core.noop", "worker_selector": {"nowhere": "at all"}}
    made = reader.deployment.api.ok("POST", "/api/v1/executions", body)["id"]
    page = reader.open("/executions?status=requested")
    expect(page.locator("tbody tr").first).to_contain_text("No compatible workers")
    page.goto(f"/executions/{made}")
    expect(page.locator(".notice")).to_contain_text("Waiting")
    page.locator("button:text-is('Cancel')").click()
    expect(page.locator(".head .status")).to_contain_text("cancelled")
    assert reader.complaints == []
