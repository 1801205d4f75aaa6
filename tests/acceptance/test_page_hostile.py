"""Whatever stands in a name, a label, a parameter, an output or a message: on each page it is text."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from playwright.sync_api import expect
from psycopg.types.json import Jsonb

from tests.acceptance.browser import Deployment, Reader

pytestmark = pytest.mark.postgres

# No full stop and no capital: it may stand in a ref, too.
EVIL = "<img src=x onerror=owned()>\"'`${1}{{ 7*7 }}<script>owned()<!--"
WORDS = '<script>owned()</script><a href="javascript:owned()">x</a>\u202egnp.exe\x1b]0;owned\x07'
# The columns of each row; `{}` is the id of the row before it that is named.
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("pack", {"ref": "evil", "label": WORDS, "description": WORDS, "version": "1.0.0", "is_standard": True}),
    (
        "runtime",
        {
            "ref": "evil.runtime", "pack": "pack", "pack_ref": "evil", "name": EVIL, "description": WORDS,
            "distributions": {},
        },
    ),
    ("runtime_version", {"runtime": "runtime", "runtime_ref": "evil.runtime", "version": EVIL}),
    (
        "action",
        {
            "ref": f"evil.{EVIL}", "pack": "pack", "pack_ref": "evil", "label": WORDS, "description": WORDS,
            "entrypoint": "x", "runtime": "runtime", "runtime_version_constraint": EVIL,
            "param_schema": {
                EVIL: {"type": "string", "label": WORDS, "description": WORDS, "default": WORDS, "required": True},
                "choice": {"type": "string", "enum": [EVIL, WORDS]},
            },
        },
    ),
    (
        "worker",
        {
            "name": EVIL, "worker_type": "container", "worker_role": "action", "host": WORDS, "status": "active",
            "cordoned": True, "cordon_reason": WORDS,
            "capabilities": {
                "runtimes": [EVIL], "runtime_versions": {EVIL: [EVIL]}, "labels": {EVIL: WORDS},
                "taints": [{"key": EVIL, "value": WORDS, "effect": EVIL}, EVIL], "agent_binary_version": EVIL,
                "runtime_verdicts": [
                    {"ref": f"core.{EVIL}", "version": EVIL, "ok": False, "reason": WORDS, "at": EVIL},
                ],
                "detected_interpreters": [{"name": EVIL, "path": WORDS, "version": EVIL}],
            },
        },
    ),
    (
        "pack_environment",
        {
            "pack": "pack", "pack_ref": "evil", "runtime": "runtime", "runtime_ref": EVIL, "runtime_version_text": EVIL,
            "env_path": WORDS, "status": "failed", "install_error": WORDS,
            "metadata": {"worker": "x", "bytes": EVIL, "seconds": EVIL, "last_used": EVIL},
        },
    ),
    (
        "execution",
        {
            "action": "action", "action_ref": f"evil.{EVIL}", "config": {EVIL: WORDS}, "status": "failed",
            "worker": "worker", "result": {"error": WORDS, "cause": EVIL, EVIL: WORDS, "duration_ms": EVIL},
        },
    ),
    (
        "key",
        {
            "ref": EVIL, "owner_type": "pack", "owner_pack": "pack", "owner_pack_ref": "evil", "name": WORDS,
            "encrypted": False, "value": WORDS,
        },
    ),
    (
        "sensor",
        {
            "ref": f"evil.{EVIL}", "pack": "pack", "pack_ref": "evil", "label": WORDS, "description": WORDS,
            "entrypoint": WORDS, "runtime": "runtime", "runtime_ref": EVIL, "enabled": True,
        },
    ),
    (
        "trigger",
        {
            "ref": f"evil.{EVIL}", "pack": "pack", "pack_ref": "evil", "label": WORDS, "description": WORDS,
            "sensor": "sensor", "sensor_ref": f"evil.{EVIL}",
        },
    ),
    (
        "rule",
        {
            "ref": f"evil.{EVIL}", "pack": "pack", "pack_ref": "evil", "label": WORDS, "description": WORDS,
            "action": "action", "action_ref": f"evil.{EVIL}", "trigger": "trigger", "trigger_ref": f"evil.{EVIL}",
            "conditions": {"expression": WORDS}, "action_params": {EVIL: WORDS}, "trigger_params": {EVIL: WORDS},
            "enabled": True,
        },
    ),
    ("event", {"trigger": "trigger", "trigger_ref": f"evil.{EVIL}", "payload": {EVIL: WORDS}, "source_ref": WORDS}),
    (
        "audit_event",
        {
            "category": "auth", "event_type": EVIL, "outcome": "failure", "actor_login": WORDS, "http_method": "GET",
            "http_path": WORDS, "http_status": 400,
        },
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def ids(site: Deployment) -> dict[str, int]:
    """Write a row of each table; return their ids."""
    url = json.loads((site.directory / "config.yaml").read_text())["database"]["url"]
    found: dict[str, int] = {}
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path TO attune, public")
        for table, columns in ROWS:
            values = {name: _value(name, value, found) for name, value in columns.items()}
            if table == "key":
                values["value"] = Jsonb(values["value"])
            names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, values))
            places = psycopg.sql.SQL(", ").join(map(psycopg.sql.Placeholder, values))
            statement = psycopg.sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
                psycopg.sql.Identifier(table), names, places
            )
            row = connection.execute(statement, values).fetchone()
            assert row is not None
            found[table] = row[0]
    return found


def _value(name: str, value: Any, ids: dict[str, int]) -> Any:
    if isinstance(value, dict):
        return Jsonb(value)
    return ids[value] if value in ids and name.removeprefix("owner_") == value else value


# Whether something hostile stands on it.
PAGES = (
    *((path, True) for path in ("executions", "executions/{execution}", "executions?action_ref=EVIL", "actions")),
    *((path, True) for path in ("actions?q=EVIL", "actions/evil.EVIL", "fleet", "fleet/{worker}", "runtimes")),
    *((path, True) for path in ("runtimes/evil.runtime", "packs", "packs/evil", "rules", "rules/evil.EVIL")),
    *((path, True) for path in ("triggers", "sensors", "sensors/evil.EVIL", "events", "events/{event}")),
    *((path, True) for path in ("keys", "keys?stored=EVIL", "audit")),
    *(
        (path, False)
        for path in ("events?trigger_ref=EVIL", "fleet?health_state=EVIL", "packs/evil?asked=EVIL", "sign-in?next=EVIL")
    ),
    *((path, False) for path in ("nowhere/EVIL", "executions?after=EVIL", "audit?outcome=EVIL")),
)


def test_hostile_text_is_text_on_each_page(reader: Reader, ids: dict[str, int]) -> None:
    page = reader.page
    page.wait_for_url("**/executions")
    for path, shown in PAGES:
        page.goto("/" + path.format(**ids).replace("EVIL", quote(EVIL, safe="")))
        found = page.content()
        assert page.locator("img[src=x], main script, a[href^='javascript']").count() == 0, path
        assert not page.evaluate("'owned' in window"), path
        if shown:
            text = page.evaluate("document.body.textContent")
            assert "owned()" in text, path
            assert "Something is wrong here" not in text, path
        assert "{{ 7*7 }}" in found or "49<script" not in found, path
        # Where a 4xx was answered the browser says so; nothing of the policy or of the script may be there.
        assert [said for said in reader.complaints if "Failed to load resource" not in said] == [], path


def test_what_an_action_writes_is_text(reader: Reader) -> None:
    command = (
        "printf '%s\\n' '<script>owned()</script>' '<img src=x onerror=owned()>'; "
        "printf '\\033]0;owned\\007\\033]52;c;b3duZWQ=\\007'; "
        "printf '\\033]8;;javascript:owned()\\033\\\\link\\033]8;;\\033\\\\ end\\n'; "
        "printf '\\033P+q544e\\033\\\\'; "
        "printf '\\033[31;1mred\\033[0m \\033[2J\\033[Hhome\\r10 %%\\r100 %%\\n\\342\\200\\256gnp.exe\\n'; "
        "printf '\\377\\376\\000bytes\\n' >&2; exit 1"
    )
    body = {"action_ref": "core.run_command", "parameters": {"command": command}}
    made = reader.deployment.api.ok("POST", "/api/v1/executions", body)["id"]
    page = reader.open(f"/executions/{made}")
    expect(page.locator("#live")).to_contain_text("complete", timeout=30_000)
    lines = "".join(page.locator(".is-stdout .text").all_text_contents()).splitlines()
    assert lines == ["<script>owned()</script>", "<img src=x onerror=owned()>", "link end", "100 %", "\ufffdgnp.exe"]
    expect(page.locator(".is-stderr .text")).to_contain_text("bytes")
    assert page.locator(".log img, .log script, .log a[href^='javascript']").count() == 0
    assert "owned" not in page.title()
    assert reader.complaints == []
