"""Timers, a webhook, a sensor with a library, and the examples: each starts an action on another worker."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.server
import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
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
        database = Database(DatabaseSettings(url=deployment.database_url), application_name="attune-tests")
        for pack in ("libraries", "examples"):
            shutil.copytree(ROOT / "packs" / pack, deployment.packs / pack)
            register(database, read_pack(ROOT / "packs" / pack, registered_runtimes(database)))
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


def test_the_example_in_python_notices_new_files_and_none_twice(site: Site, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("x")
    os.utime(tmp_path / "old.csv", (0, 0))
    given = {"path": str(tmp_path), "pattern": "*.csv"}
    message = {"message": "{{ event.payload.name }} {{ event.payload.bytes }}"}
    rule = make_rule(site, "examples.file_appeared", trigger_params=given, action_params=message)
    (tmp_path / "other.txt").write_text("x")
    (tmp_path / "new.csv").write_text("four")
    assert started_by(site, rule)["config"] == {"message": "new.csv 4"}
    # Another rule starts the sensor again: what it sends once more is the same event.
    another = make_rule(site, "examples.file_appeared", trigger_params={"path": str(tmp_path)})
    until(lambda: active_rules(site, "examples.directory") == 2, "a sensor that knows both rules")
    (tmp_path / "last.csv").write_text("x")
    until(lambda: len(events(site, rule)) == 2, "the event of the last file")
    assert [one["payload"]["name"] for one in events(site, rule)] == ["new.csv", "last.csv"]
    assert "old.csv" not in str(events(site, another))


def test_the_example_in_shell_notices_a_disk(site: Site) -> None:
    message = {"message": "{{ event.payload.percent }} of {{ event.payload.mount }}"}
    rule = make_rule(
        site, "examples.disk_usage", conditions={"expression": "event.payload.percent >= 0"}, action_params=message
    )
    assert started_by(site, rule)["config"]["message"].endswith(" of /")


@pytest.mark.language("node")
def test_the_example_in_node_notices_a_page_that_changes(site: Site) -> None:
    with changing_page() as url:
        given = {"url": url, "every": 1}
        message = {"message": "{{ event.payload.status }} from {{ event.payload.url }}"}
        rule = make_rule(site, "examples.page_changed", trigger_params=given, action_params=message)
        assert started_by(site, rule)["config"] == {"message": f"200 from {url}"}
    site.admin.ok("DELETE", f"/api/v1/rules/{rule['ref']}")


def events(site: Site, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a rule, the oldest first."""
    return site.deployment.all("SELECT * FROM event WHERE rule = %s ORDER BY id", [rule["id"]])


def active_rules(site: Site, ref: str) -> int:
    """How many rules a running sensor knows."""
    found = site.admin.ok("GET", f"/api/v1/sensors/{ref}")["processes"]
    return max((one["active_rule_count"] for one in found if one["status"] == "running"), default=0)


@contextlib.contextmanager
def changing_page() -> Iterator[str]:
    """A page that is another one each time."""
    numbers = itertools.count()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = str(next(numbers)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
