"""What is live on the page: a large log, many windows at once, lists that change under the reader's hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from psycopg.types.json import Jsonb

from tests.acceptance.browser import Deployment, Reader
from tests.services.waiting import until

pytestmark = pytest.mark.postgres

LINES = 100_000
_SHIFT = """() => {
  window.shifted = [];
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) {
      const what = one.sources.map((source) => (source.node?.outerHTML ?? source.node?.textContent)?.slice(0, 120));
      if (one.value > 0.0005) window.shifted.push([one.value, what]);
    }
  }).observe({type: "layout-shift", buffered: false});
}"""

# How much of the log lies below what is seen.
_BELOW = "(box => box.scrollHeight - box.scrollTop - box.clientHeight)(document.querySelector('.log'))"


def start(site: Deployment, command: str, **more: Any) -> int:
    """Request an execution of a shell command; return its id."""
    body = {"action_ref": "core.run_command", "parameters": {"command": command}, **more}
    return int(site.api.ok("POST", "/api/v1/executions", body)["id"])


def ended(site: Deployment, execution: int) -> str:
    """Wait for its end; return how it ended."""
    ends = ("completed", "failed", "cancelled")
    until(lambda: site.api.ok("GET", f"/api/v1/executions/{execution}")["status"] in ends, "an end", timeout=60)
    return str(site.api.ok("GET", f"/api/v1/executions/{execution}")["status"])


@pytest.fixture(scope="module")
def large(site: Deployment) -> int:
    """An execution that has written a large log."""
    made = start(site, f"seq -f 'this is line %.0f of many' 1 {LINES}; echo 'not good' >&2")
    assert ended(site, made) == "completed"
    return made


def opened(reader: Reader, large: int, suffix: str = "") -> Page:
    """Open the large log and wait until all of it is there."""
    page = reader.open(f"/executions/{large}{suffix}")
    expect(page.locator("#live")).to_contain_text("complete", timeout=60_000)
    expect(page.locator("[data-count=stdout]")).to_have_text(re.compile(r"100.?000"), timeout=60_000)
    return page


def test_each_line_of_a_large_log_is_found_and_it_stays_a_small_document(reader: Reader, large: int) -> None:
    page = opened(reader, large)
    page.keyboard.press("/")
    page.keyboard.type("line 99999 of")
    expect(page.locator("[data-hits]")).to_have_text("1 of 1", timeout=20_000)
    assert page.evaluate("getSelection().toString()") == "line 99999 of"
    where = page.evaluate("getSelection().getRangeAt(0).getBoundingClientRect().top")
    frame = page.locator(".log").bounding_box()
    assert frame is not None
    assert frame["y"] < where < frame["y"] + frame["height"]
    page.locator("[data-find]").fill("THIS IS LINE")
    expect(page.locator("[data-hits]")).to_have_text(re.compile(r"1 of 100.?000"), timeout=20_000)
    page.locator("[data-find]").blur()
    assert page.evaluate("getSelection().removeAllRanges() || window.find('line 54321 of')") is True
    # Scrolling costs what there is to lay out: a few elements for each hundred lines.
    assert page.evaluate("document.querySelectorAll('*').length") < LINES / 20
    assert reader.complaints == []


def test_a_link_to_lines_leads_there_and_the_pointer_makes_one(reader: Reader, large: int) -> None:
    page = opened(reader, large, "#L54320-L54322")
    expect(page.locator("mark")).to_have_text("".join(f"this is line {n} of many\n" for n in range(54320, 54323)))
    expect(page.locator("mark")).to_be_in_viewport()
    page.evaluate("location.hash = '#E1'")
    expect(page.locator("mark")).to_have_text("not good\n")
    page.evaluate("location.hash = '#L99999'")
    expect(page.locator("mark")).to_have_text("this is line 99999 of many\n")
    # Two lines above the one that is marked.
    mark, numbers = page.locator("mark").bounding_box(), page.locator(".nums").last
    assert mark is not None
    left = page.evaluate("document.querySelector('mark').closest('.block').getBoundingClientRect().left")
    page.mouse.move(left + 20, mark["y"] - 1.5 * mark["height"])
    page.mouse.click(left + 20, mark["y"] - 1.5 * mark["height"])
    page.wait_for_url("**#L99997")
    expect(page.locator("mark")).to_have_text("this is line 99997 of many\n")
    assert numbers.get_attribute("aria-hidden") == "true"
    # What is copied has no numbers in it.
    page.evaluate("getSelection().selectAllChildren(document.querySelector('mark').closest('.block'))")
    assert page.evaluate("getSelection().toString()").startswith("this is line")


def test_who_scrolls_up_stays_there_and_is_told_of_new_lines(reader: Reader, site: Deployment) -> None:
    gate = site.directory.parent / "scroll"
    made = start(site, f"seq 500; while [ ! -e {gate} ]; do sleep 0.1; done; seq 501 700; exec sleep 300")
    page = reader.open(f"/executions/{made}")
    expect(page.locator("[data-count=stdout]")).to_have_text("500", timeout=20_000)
    page.locator(".log").hover()
    page.mouse.wheel(0, -4000)
    until(lambda: page.evaluate(_BELOW) > 1000, "scrolled up")
    before = page.evaluate("document.querySelector('.log').scrollTop")
    gate.touch()
    expect(page.locator("[data-new]")).to_have_text(re.compile("200 new lines"), timeout=20_000)
    assert page.evaluate("document.querySelector('.log').scrollTop") == before
    page.click("[data-new]")
    expect(page.locator("[data-new]")).to_be_hidden()
    assert page.evaluate(_BELOW) < 40
    site.api.ok("POST", f"/api/v1/executions/{made}/cancel")


def test_without_script_the_end_of_a_log_has_links_to_its_lines(browser: Browser, site: Deployment, large: int) -> None:
    still = Reader(browser, site, java_script_enabled=False).sign_in()
    page = still.open(f"/executions/{large}#L99990")
    expect(page.locator("#L99990")).to_be_in_viewport()
    assert "lines before these are in the download" in page.inner_text(".log")
    expect(page.locator(".log-bar")).to_be_hidden()
    text = page.request.get(f"/executions/{large}/stdout.log").text()
    assert text.count("\n") == LINES
    still.context.close()


def test_eight_windows_follow_at_once_with_few_streams(browser: Browser, site: Deployment, tmp_path: Path) -> None:
    gate = site.directory.parent / "eight"
    made = start(site, f"echo begun; while [ ! -e {gate} ]; do sleep 0.1; done; echo last")
    reader = Reader(browser, site).sign_in()
    reader.page.wait_for_url("**/executions")
    pages = [reader.page, *(reader.context.new_page() for _ in range(7))]
    streams: set[int] = set()
    for number, page in enumerate(pages):
        page.on(
            "request",
            lambda sent, number=number: streams.add(number) if "/live" in sent.url and "once" not in sent.url else None,
        )
    try:
        for page in pages:
            page.goto(f"/executions/{made}")
        for page in pages:
            expect(page.locator(".log")).to_contain_text("begun", timeout=20_000)
        assert 1 <= len(streams) <= 3
        gate.touch()
        for page in pages:
            expect(page.locator("#live")).to_contain_text("complete", timeout=30_000)
            expect(page.locator(".log")).to_contain_text("last")
    finally:
        gate.touch()
        reader.context.close()


def test_a_list_changes_in_place_and_what_is_new_waits(reader: Reader, site: Deployment) -> None:
    gate = site.directory.parent / "list"
    made = start(site, f"while [ ! -e {gate} ]; do sleep 0.1; done")
    page = reader.open("/executions")
    row = page.locator(f"tr:has(a[href$='/executions/{made}'])")
    expect(row).to_contain_text("running", timeout=20_000)
    page.evaluate(_SHIFT)
    rows = page.locator("tbody tr").count()
    start(site, "true")
    expect(page.locator("#more")).to_have_text(re.compile("1 new"), timeout=20_000)
    gate.touch()
    expect(row).to_contain_text("completed", timeout=20_000)
    assert page.locator("tbody tr").count() == rows
    assert page.evaluate("window.shifted") == []
    page.click("#more")
    expect(page.locator("tbody tr")).to_have_count(rows + 1)
    assert reader.complaints == []


def test_nothing_moves_while_an_execution_runs_and_ends(reader: Reader, site: Deployment) -> None:
    gate = site.directory.parent / "still"
    made = start(site, f"while [ ! -e {gate} ]; do sleep 0.1; done; for i in $(seq 60); do echo $i; done; exit 3")
    page = reader.open(f"/executions/{made}")
    expect(page.locator(".head .status")).to_contain_text("running", timeout=20_000)
    expect(page.locator(".steps")).to_contain_text("claimed")
    page.evaluate(_SHIFT)
    gate.touch()
    expect(page.locator("#live")).to_contain_text("complete", timeout=30_000)
    expect(page.locator(".state.bad")).to_contain_text("after")
    assert page.evaluate("window.shifted") == []


def test_a_list_says_since_when_it_is_old_and_comes_back(reader: Reader) -> None:
    page = reader.open("/executions")
    expect(page.locator("#live")).to_have_text("live", timeout=20_000)
    reader.context.set_offline(True)
    expect(page.locator("#live")).to_contain_text("reconnecting; as of", timeout=20_000)
    expect(page.locator("[data-live]")).to_have_class(re.compile("stale"), timeout=30_000)
    reader.context.set_offline(False)
    expect(page.locator("#live")).to_contain_text("live", timeout=40_000)
    expect(page.locator("[data-live]")).not_to_have_class(re.compile("stale"))


def test_a_page_is_printed_whole_and_without_what_only_a_screen_needs(reader: Reader, large: int) -> None:
    page = opened(reader, large)
    page.emulate_media(media="print", color_scheme="dark")
    for hidden in (".top nav", ".log-bar", ".actions", ".bottom"):
        expect(page.locator(hidden).first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("(box => box.scrollHeight <= box.clientHeight + 4)(document.querySelector('.log'))")
    assert json.loads(page.evaluate("JSON.stringify(getComputedStyle(document.querySelector('h1')).color)")) != "white"


def test_an_environment_is_built_before_the_run_shown_with_its_pack_and_built_anew(
    reader: Reader, site: Deployment
) -> None:
    body = {"action_ref": "examples.hello_python", "parameters": {"name": "you"}}
    made = [int(site.api.ok("POST", "/api/v1/executions", body)["id"])]
    assert ended(site, made[0]) == "completed"
    for _ in range(2):  # its use is noted beside the next execution
        made.append(int(site.api.ok("POST", "/api/v1/executions", body)["id"]))
        ended(site, made[-1])
    page = reader.open(f"/executions/{made[0]}")
    expect(page.locator(".steps")).to_contain_text(re.compile(r"claimed .*environment built, running .*completed"))
    page.goto(f"/executions/{made[-1]}")
    expect(page.locator(".steps")).not_to_contain_text("environment")

    def environment() -> dict[str, Any]:
        found = site.api.ok("GET", "/api/v1/packs/examples/environments")
        return next(one for one in found if one["runtime_ref"] == "core.python")

    until(lambda: environment()["last_used"] > environment()["installed_at"], "a note of its use")
    before = environment()
    assert before["bytes"] > 100_000
    page = reader.open("/packs/examples")
    row = page.locator("tr:has-text('core.python')")
    expect(row).to_contain_text("ready")
    expect(row).to_contain_text("MB")
    expect(row).to_contain_text("local")
    page.click("text=Rebuild")
    expect(page.locator(".notice.good")).to_contain_text("1 workers are asked")
    until(lambda: environment()["installed_at"] > before["installed_at"], "a new build", timeout=120)
    assert environment()["status"] == "ready"
    expect(row).to_contain_text("ready", timeout=20_000)
    assert reader.complaints == []


def test_the_matrix_says_which_version_a_worker_refuses_and_why(reader: Reader, site: Deployment) -> None:
    entry = {"ref": "core.ruby", "version": "9.9", "ok": False, "reason": "module ssl is missing"}
    capabilities = {
        "runtimes": ["ruby"], "runtime_versions": {"ruby": ["3.3"]}, "labels": {"gpu": "a100"},
        "taints": [{"key": "dedicated", "value": "ml"}], "agent_binary_version": "0.0.9",
        "runtime_verdicts": [{**entry, "at": "2026-01-01T00:00:00+00:00"}],
    }  # fmt: skip
    site.execute(
        "INSERT INTO worker (name, worker_type, worker_role, status, capabilities, last_heartbeat)"
        " VALUES ('gpu-01', 'container', 'action', 'active', %s, now() - interval '4 minutes')",
        Jsonb(capabilities),
    )
    page = reader.open("/fleet")
    row = page.locator("tr:has(th:has-text('gpu-01'))")
    for shown in ("gpu=a100", "dedicated=ml", "0.0.9", "silent", "refused: module ssl is missing"):
        expect(row).to_contain_text(shown)
    assert reader.violations(dark=False) == []
    reader.pictures("fleet-refused")
    row.locator("a.no").click()
    page.wait_for_url("**/fleet/*#verified")
    expect(page.locator("#verified")).to_contain_text("core.ruby 9.9")
    expect(page.locator("#verified")).to_contain_text("module ssl is missing")
