"""The timer sensor as its own process beside a real server: rules become events, on time, each once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.access.tokens import Claims, mint
from tests.integration.rules.conftest import eventually, make_rule
from tests.integration.server.conftest import Site
from tests.services.agent_process import ROOT
from tests.services.deployment import JWT_SECRET

pytestmark = pytest.mark.postgres

TRIGGERS = [f"core.{name}timer" for name in ("interval", "cron", "datetime", "rrule")]


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    """A token for the four triggers, as the service gives one to the sensor."""
    claims = Claims("1", "core.timer_sensor", "sensor", time.time() + 600, "sensor", {"trigger_types": TRIGGERS})
    return mint(claims, secret=JWT_SECRET, now=time.time())


def start(site: Site, token: str, log: Path, **more: str) -> subprocess.Popen[bytes]:
    """Start the timer sensor."""
    environment = {"PATH": os.environ["PATH"], "ATTUNE_API_URL": site.server.url, "ATTUNE_API_TOKEN": token}
    environment |= {"ATTUNE_SENSOR_REF": "core.timer_sensor", **more}
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "agent", "timer"], env=environment, cwd=ROOT, stdout=file, stderr=file
        )


@pytest.fixture
def timer(site: Site, token: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The timer sensor, running."""
    process = start(site, token, tmp_path / "timer.log")
    yield process
    process.kill()
    process.wait()


def events(site: Site, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a rule, the oldest first, with their payloads."""
    listed = site.admin.ok("GET", "/api/v1/events", params={"rule_ref": rule["ref"], "page_size": 100})["items"]
    return [site.admin.ok("GET", f"/api/v1/events/{item['id']}") for item in sorted(listed, key=lambda one: one["id"])]


def payloads(site: Site, rule: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Wait for that many events of a rule; return their payloads."""
    found = eventually(lambda: events(site, rule), lambda some: len(some) >= count)
    return [event["payload"] for event in found]


def test_each_kind_of_timer_starts_events_of_its_rule_alone(site: Site, timer: subprocess.Popen[bytes]) -> None:
    every = make_rule(site, TRIGGERS[0], trigger_params={"interval": 1})
    cron = make_rule(site, TRIGGERS[1], trigger_params={"expression": "* * * * * *", "timezone": "Europe/Berlin"})
    soon = datetime.fromtimestamp(time.time() + 2).astimezone().isoformat()
    once = make_rule(site, TRIGGERS[2], trigger_params={"fire_at": soon})
    for rule, kind in ((every, "interval"), (cron, "cron"), (once, "one_shot")):
        assert payloads(site, rule, 1)[0]["type"] == kind
    created = datetime.fromisoformat(every["created"])
    for payload in payloads(site, every, 3):
        passed = (datetime.fromisoformat(payload["scheduled_at"]) - created).total_seconds()
        assert passed == pytest.approx(round(passed), abs=0.001)  # in the phase of its creation
    assert len(events(site, once)) == 1
    assert timer.poll() is None


def test_what_changes_is_followed_and_what_is_off_is_silent(site: Site, timer: subprocess.Popen[bytes]) -> None:
    rule = make_rule(site, TRIGGERS[0], trigger_params={"interval": 3600})
    site.admin.ok("PUT", f"/api/v1/rules/{rule['ref']}", {"trigger_params": {"interval": 1}})
    payloads(site, rule, 1)
    site.admin.ok("POST", f"/api/v1/rules/{rule['ref']}/disable")
    other = make_rule(site, TRIGGERS[0], trigger_params={"interval": 1})
    payloads(site, other, 1)  # by then the sensor has heard of both
    before = len(events(site, rule))
    payloads(site, other, 4)
    assert len(events(site, rule)) == before
    assert timer.poll() is None


def test_it_ends_in_order_and_says_when_its_token_is_refused(site: Site, token: str, tmp_path: Path) -> None:
    process = start(site, token, tmp_path / "one.log")
    eventually(lambda: (tmp_path / "one.log").exists(), bool)
    rule = make_rule(site, TRIGGERS[0], trigger_params={"interval": 1})
    payloads(site, rule, 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    refused = start(site, "no.such.token", tmp_path / "other.log")
    assert refused.wait(20) == 75


def test_without_a_sensors_environment_it_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "timer"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert "ATTUNE_API_TOKEN" in done.stderr
