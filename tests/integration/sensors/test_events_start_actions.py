"""A timer of each kind, a webhook and a sensor with libraries of its own: each starts an action on another worker."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from agent.db.pool import Database
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.packs.registered import registered_runtimes
from agent.settings import DatabaseSettings
from tests.integration.rules.conftest import make_rule, make_trigger
from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.agent_process import ROOT
from tests.services.deployment import ENDED, running_deployment
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server, a worker for actions, and a sensor service."""
    with running_deployment(request, "database") as deployment:
        shutil.copytree(ROOT / "packs" / "libraries", deployment.packs / "libraries")
        database = Database(DatabaseSettings(url=deployment.database_url), application_name="attune-tests")
        register(database, read_pack(ROOT / "packs" / "libraries", registered_runtimes(database)))
        database.close()
        opened = open_site(deployment)
        deployment.start_agent("actions-1")
        deployment.start_agent("sensors-1", sensors=True, ATTUNE_API_URL=opened.server.url)
        try:
            yield opened
        finally:
            close_site(opened)


def started_by(site: Site, rule: dict[str, Any]) -> dict[str, Any]:
    """Wait for an execution of a rule that has completed, on the worker for actions."""
    sql = (
        "SELECT x.*, x.status::text AS status, w.name AS worker_name FROM execution x"
        " JOIN enforcement f ON f.id = x.enforcement LEFT JOIN worker w ON w.id = x.worker"
        " WHERE f.rule = %s ORDER BY x.id LIMIT 1"
    )

    def found() -> dict[str, Any]:
        rows = site.deployment.all(sql, [rule["id"]])
        return rows[0] if rows else {}

    until(lambda: found().get("status") in ENDED, f"an execution of {rule['ref']}", timeout=90)
    execution = found()
    assert (execution["status"], execution["worker_name"]) == ("completed", "actions-1"), execution
    return execution


@pytest.mark.parametrize("kind", ["interval", "cron", "datetime"])
def test_a_timer_starts_an_action(site: Site, kind: str) -> None:
    soon = datetime.fromtimestamp(time.time() + 2).astimezone().isoformat()
    params = {
        "interval": {"interval": 1},
        "cron": {"expression": "* * * * * *", "timezone": "Asia/Kathmandu"},
        "datetime": {"fire_at": soon, "missed": "once"},
    }[kind]
    message = {"message": "{{ event.payload.type }}"}
    rule = make_rule(site, f"core.{kind}timer", trigger_params=params, action_params=message)
    execution = started_by(site, rule)
    assert execution["config"] == {"message": "one_shot" if kind == "datetime" else kind}
    site.admin.ok("DELETE", f"/api/v1/rules/{rule['ref']}")


def test_a_webhook_starts_an_action(site: Site) -> None:
    trigger = make_trigger(site)
    rule = make_rule(site, trigger)
    hook = site.admin.ok("POST", f"/api/v1/triggers/{trigger}/webhooks/enable", {})
    body = json.dumps({"text": "pushed"}).encode()
    digest = hmac.new(hook["webhook_secret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"}
    assert site.admin.as_(None).request("POST", hook["webhook_url"], content=body, headers=headers).status_code == 200
    assert started_by(site, rule)["config"] == {"message": "pushed"}


def test_a_sensor_with_a_library_and_a_version_starts_an_action(site: Site) -> None:
    message = {"message": "{{ event.payload.slug }} by {{ event.payload.library }}"}
    given = {"title": "Hello, World!"}
    rule = make_rule(site, "libraries.title_given", trigger_params=given, action_params=message)
    assert started_by(site, rule)["config"] == {"message": "hello-world by 1.0"}
    (process,) = site.admin.ok("GET", "/api/v1/sensors/libraries.titles")["processes"]
    assert (process["status"], process["worker"]) == ("running", "sensors-1")
    logs = site.admin.get("/api/v1/sensors/libraries.titles/logs").json()["logs"]
    assert [log["stream"] for log in logs] == ["stdout", "stderr"]
