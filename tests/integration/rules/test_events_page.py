"""The page about rules, triggers, sensors and events: what is on, what happened, and why an event started nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.rules.conftest import make_rule, make_trigger, outcome, send
from tests.integration.server.conftest import PASSWORD, Site

pytestmark = pytest.mark.postgres

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def browser(site: Site) -> Iterator[httpx.Client]:
    """Somebody with every permission, signed in."""
    with httpx.Client(base_url=site.server.url, follow_redirects=True, trust_env=False, timeout=30.0) as client:
        fields = {"login": "admin", "password": PASSWORD, "csrf": csrf(client.get("/sign-in").text)}
        assert "Sign out" in client.post("/sign-in", data=fields, headers={"Origin": site.server.url}).text
        yield client


def csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


def test_what_happened_and_why_nothing_was_started(site: Site, browser: httpx.Client) -> None:
    trigger = make_trigger(site, label=HOSTILE)
    unmet = make_rule(site, trigger, label=HOSTILE, conditions={"expression": "event.payload.text == 'y'"})
    failing = make_rule(site, trigger, conditions={"expression": "event.payload.text > 1"})
    event = send(site, trigger, {"text": HOSTILE})
    outcome(site, event)
    shown = browser.get(f"/events/{event}").text
    assert "nothing was started: a rule that listens to it failed" in shown
    assert "its condition does not hold" in shown
    assert "can&#39;t join string and number" in shown
    assert "failed" in browser.get(f"/rules/{failing['ref']}").text
    for path in (
        "/rules",
        "/triggers",
        "/sensors",
        "/events",
        f"/events?trigger_ref={trigger}",
        f"/rules/{unmet['ref']}",
    ):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert HOSTILE not in answer.text
    assert HOSTILE not in shown
    assert browser.get("/events/nonsense").status_code == 404
    assert browser.get("/rules/core.nothing").status_code == 404


def test_a_rule_is_switched_by_its_button(site: Site, browser: httpx.Client) -> None:
    trigger = make_trigger(site)
    rule = make_rule(site, trigger)
    page = browser.get(f"/rules/{rule['ref']}").text
    origin = {"Origin": site.server.url}
    done = browser.post(f"/rules/{rule['ref']}/switch/disable", data={"csrf": csrf(page)}, headers=origin)
    assert "Switch on" in done.text
    assert site.admin.ok("GET", f"/api/v1/rules/{rule['ref']}")["enabled"] is False
    page = browser.get("/triggers").text
    browser.post(f"/triggers/{trigger}/switch/disable", data={"csrf": csrf(page)}, headers=origin)
    assert site.admin.ok("GET", f"/api/v1/triggers/{trigger}")["enabled"] is False
    assert browser.post(f"/rules/{rule['ref']}/switch/enable", data={}, headers=origin).status_code in (400, 403)
    assert (
        browser.post(f"/keys/{rule['ref']}/switch/enable", data={"csrf": csrf(page)}, headers=origin).status_code == 404
    )
