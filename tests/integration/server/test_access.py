"""Who may use the API: log-ins and their ends, kinds of tokens on every route, permissions, tokens of programs."""

from __future__ import annotations

import io
import tarfile
import time
from typing import Any

import httpx
import pytest

from agent.access.tokens import Claims, mint
from agent.server.routes import ROUTES
from tests.integration.server.conftest import PASSWORD, Site
from tests.services.deployment import JWT_SECRET
from tests.services.server import ApiClient
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


def token(kind: str, *, subject: str = "1", secret: str = JWT_SECRET, life: float = 600, **metadata: Any) -> str:
    claims = Claims(subject, f"{kind}:1", kind, time.time() + life, kind, metadata)
    return mint(claims, secret=secret, now=time.time())


def fill(path: str) -> str:
    """Name things that do not exist."""
    for name in ("{id}", "{token_id}"):
        path = path.replace(name, "987654321")
    return (
        path.replace("{status}", "running")
        .replace("{ref}", "no.such")
        .replace("{pack_ref}", "no_such")
        .replace("{version}", "1")
        .replace("{stream}", "stdout")
    )


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_lets_in_the_tokens_that_it_names_and_no_other(site: Site, route: Any) -> None:
    if not route.who:
        return

    def status(shown: str | None) -> int:
        return site.admin.as_(shown).request(route.method, fill(route.path)).status_code

    assert status(None) == 401
    assert status("nonsense") == 401
    assert status(token("access", secret="x" * 40)) == 401
    assert status(token("access", life=-3600)) == 401
    assert status(token("refresh")) == 401
    for kind in ("execution", "worker", "sensor"):
        expected_in = kind in route.who
        found = status(token(kind, execution_id=1, permission_set_refs=[]))
        # What a sensor's token opens at all, it opens for what the sensor owns.
        granted = expected_in and (route.needs is None or kind == "sensor")
        assert (found != 403) if granted else found in (403, 404, 200), (kind, found)
        if not expected_in:
            assert found == 403
    gone = status(token("access", subject="987654321"))
    assert gone == (401 if "access" in route.who else 403)


def test_a_token_is_looked_at_before_the_body_is_read(site: Site) -> None:
    answer = httpx.post(f"{site.server.url}/api/v1/keys", content=b"{" * 100_000, trust_env=False)
    assert answer.status_code == 401
    assert answer.json() == {"error": {"code": 401, "message": "Missing authentication token"}}


def test_header_counts_before_cookie_and_a_cookie_only_reads(site: Site) -> None:
    stale = {"Cookie": "attune_access_token=stale"}
    assert site.admin.get("/auth/me", headers=stale).status_code == 200
    assert site.admin.as_(None).get("/auth/me", headers=stale).status_code == 401
    good = {"Cookie": f"attune_access_token={site.admin.token}"}
    assert site.admin.as_(None).get("/auth/me", headers=good).status_code == 200
    assert site.admin.as_(None).post("/api/v1/keys", {}, headers=good).status_code == 403


def test_log_in_tells_neither_which_logins_exist_nor_a_frozen_password(site: Site) -> None:
    login, _ = site.person()
    unknown = site.admin.as_(None).post("/auth/login", {"login": "nobody-at-all", "password": "x"})
    wrong = site.admin.as_(None).post("/auth/login", {"login": login, "password": "x"})
    assert (unknown.status_code, unknown.json()) == (wrong.status_code, wrong.json())
    assert unknown.status_code == 401
    identity = site.deployment.one("SELECT id FROM identity WHERE login = %s", [login])["id"]
    site.admin.ok("POST", f"/api/v1/identities/{identity}/freeze")
    frozen = site.admin.as_(None).post("/auth/login", {"login": login, "password": PASSWORD})
    assert frozen.status_code == 403


def test_a_frozen_account_can_do_nothing_more_with_the_tokens_that_it_has(site: Site) -> None:
    login, client = site.person("core.viewer")
    assert client.get("/api/v1/workers").status_code == 200
    identity = site.deployment.one("SELECT id FROM identity WHERE login = %s", [login])["id"]
    site.admin.ok("POST", f"/api/v1/identities/{identity}/freeze")
    assert client.get("/api/v1/workers").status_code == 403
    site.admin.ok("POST", f"/api/v1/identities/{identity}/unfreeze")
    assert client.get("/api/v1/workers").status_code == 200


def test_guessing_is_slowed_down_and_the_account_is_free_again_soon(site: Site) -> None:
    login, _ = site.person()
    wrong = {"login": login, "password": "wrong"}
    answers = [site.admin.as_(None).post("/auth/login", wrong) for _ in range(7)]
    assert [answer.status_code for answer in answers[:5]] == [401] * 5
    assert answers[-1].status_code == 429
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 6
    site.deployment.database.execute("UPDATE server_login_failure SET latest = latest - interval '10 seconds'")
    assert site.admin.login(login, PASSWORD).token
    assert site.deployment.all("SELECT 1 FROM server_login_failure WHERE subject = %s", [login]) == []
    site.deployment.database.execute("DELETE FROM server_login_failure")


def test_an_invented_forwarding_header_changes_nothing(site: Site) -> None:
    for number in range(25):
        headers = {"X-Forwarded-For": f"10.0.0.{number}"}
        body = {"login": f"nobody-{number}", "password": "x"}
        last = site.admin.as_(None).post("/auth/login", body, headers=headers)
    assert last.status_code == 429
    site.deployment.database.execute("DELETE FROM server_login_failure")


def test_refresh_rotates_with_grace_and_a_stolen_token_ends_the_log_in(site: Site) -> None:
    login, _ = site.person()
    anybody = site.admin.as_(None)
    first = anybody.ok("POST", "/auth/login", {"login": login, "password": PASSWORD})
    second = anybody.ok("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert second["refresh_token"] != first["refresh_token"]
    assert "user" not in second
    other_tab = anybody.ok("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert other_tab["refresh_token"] not in (first["refresh_token"], second["refresh_token"])
    site.deployment.database.execute("UPDATE server_refresh_token SET replaced_at = replaced_at - interval '1 minute'")
    assert anybody.post("/auth/refresh", {"refresh_token": first["refresh_token"]}).status_code == 401
    for left in (second, other_tab):
        assert anybody.post("/auth/refresh", {"refresh_token": left["refresh_token"]}).status_code == 401


def test_log_out_and_a_new_password_end_what_may_be_renewed(site: Site) -> None:
    login, client = site.person()
    anybody = site.admin.as_(None)
    pair = anybody.ok("POST", "/auth/login", {"login": login, "password": PASSWORD})
    anybody.ok("POST", "/auth/logout", {"refresh_token": pair["refresh_token"]})
    assert anybody.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}).status_code == 401
    pair = anybody.ok("POST", "/auth/login", {"login": login, "password": PASSWORD})
    wrong = {"current_password": "wrong", "new_password": "another password"}
    assert client.post("/auth/change-password", wrong).status_code == 401
    client.ok("POST", "/auth/change-password", wrong | {"current_password": PASSWORD})
    assert anybody.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}).status_code == 401
    assert anybody.login(login, "another password").token


def test_whoever_changes_his_name_is_told_the_new_one(site: Site) -> None:
    _, client = site.person()
    assert client.ok("PUT", "/auth/me", {"display_name": "Another name"})["display_name"] == "Another name"
    assert client.ok("GET", "/auth/me")["display_name"] == "Another name"


def test_a_program_logs_in_with_its_token_until_that_is_revoked(site: Site) -> None:
    _, client = site.person("core.viewer")
    me = client.ok("GET", "/auth/me")["id"]
    made = client.ok("POST", f"/api/v1/identities/{me}/integration-tokens", {"label": "ci"})
    session = client.as_(None).ok("POST", "/auth/token-login", {"token": made["token"]})
    assert client.as_(session["access_token"]).get("/api/v1/workers").status_code == 200
    listed = client.ok("GET", f"/api/v1/identities/{me}/integration-tokens")
    assert listed[0]["active"]
    assert made["token"] not in str(listed)
    assert site.deployment.all("SELECT 1 FROM integration_token WHERE token_hash = %s", [made["token"]]) == []
    number = made["integration_token"]["id"]
    client.ok("POST", f"/api/v1/identities/{me}/integration-tokens/{number}/revoke", {"reason": "lost"})
    assert client.as_(None).post("/auth/token-login", {"token": made["token"]}).status_code == 401
    assert client.as_(None).post("/auth/refresh", {"refresh_token": session["refresh_token"]}).status_code == 401


def test_without_a_permission_set_nothing_is_allowed_and_the_refusal_is_noted(site: Site) -> None:
    login, client = site.person()
    refused = client.post("/api/v1/executions/execute", {"action_ref": "core.echo"})
    assert refused.status_code == 403
    assert refused.json()["error"] == "this needs the permission actions:execute"
    deadline = time.monotonic() + 10
    denied = "SELECT * FROM audit_event WHERE actor_login = %s AND outcome = 'denied'"
    while not (found := site.deployment.all(denied, [login])):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (found[0]["outcome"], found[0]["category"]) == ("denied", "rbac")


_READABLE = ("executions", "actions", "events", "enforcements", "rules", "triggers", "workers", "runtimes")
_READABLE += ("identities", "permissions", "audit_log", "packs")


def test_a_constraint_narrows_every_list_or_opens_none(site: Site) -> None:
    run = site.admin.ok("POST", "/api/v1/executions", {"action_ref": "core.echo"})["id"]
    event = site.admin.ok("POST", "/api/v1/events", {"trigger_ref": "core.alert", "payload": {"x": 1}})["id"]
    worker = site.deployment.insert("worker", {"name": "constrained", "worker_type": "local", "worker_role": "action"})

    def reader(**constraints: object) -> ApiClient:
        grants = [{"resource": name, "actions": ["read"], "constraints": constraints} for name in _READABLE]
        return site.person(site.permission_set(grants))[1]

    foreign, close = reader(pack_refs=["no_such"]), reader(pack_refs=["core"])
    for path in ("executions", "executions/status/requested", "actions", "actions/search", "operator/actions"):
        assert found_in(foreign, path) == [], path
        assert found_in(close, path), path
    for client, ids in ((reader(owner="self"), False), (reader(ids=[run]), True), (reader(refs=["core.echo"]), True)):
        assert bool(found_in(client, "executions")) is ids
    for path in ("actions/core.echo", "actions/core.echo/queue-stats", "operator/actions/core.echo/runtime"):
        assert foreign.get(f"/api/v1/{path}").status_code == 403, path
    assert close.get("/api/v1/actions/core.echo").status_code == 200
    for path in (
        "events", f"events/{event}", f"events/{event}/explain", "enforcements", "rules", "triggers",
        "triggers/core.alert", "sensors", "workers", f"workers/{worker}", "operator/workers", "runtimes",
        "operator/runtimes",
        "identities", "identities/1", "permissions/sets", "audit-events", "executions/stats",
    ):  # fmt: skip
        assert foreign.get(f"/api/v1/{path}").status_code == 403, path


def found_in(client: ApiClient, path: str) -> list[Any]:
    found = client.ok("GET", f"/api/v1/{path}")
    return list(found["items"] if isinstance(found, dict) else found)


def test_a_frozen_sensor_sends_nothing_more(site: Site) -> None:
    login = site.person()[0]
    row = site.deployment.one("SELECT id FROM identity WHERE login = %s", [login])
    client = site.admin.as_(token("sensor", subject=str(row["id"]), trigger_types=["core.alert"]))
    body = {"trigger_ref": "core.alert", "payload": {}}
    assert client.post("/api/v1/events", body).status_code == 201
    site.admin.ok("POST", f"/api/v1/identities/{row['id']}/freeze")
    assert client.post("/api/v1/events", body).status_code == 403


def test_it_is_noted_what_was_changed_and_who_could_not_log_in(site: Site) -> None:
    site.admin.ok("POST", "/api/v1/keys", {"ref": "noted.key", "name": "x", "owner_type": "system", "value": "1"})
    site.admin.ok("DELETE", "/api/v1/keys/noted.key")
    site.admin.as_(None).post("/auth/login", {"login": "nobody-noted", "password": "x"})

    def noted(where: str, value: str) -> list[dict[str, Any]]:
        return site.deployment.all(f"SELECT * FROM audit_event WHERE {where} = %s", [value])

    until(lambda: noted("resource_ref", "noted.key") and noted("actor_login", "nobody-noted"), "the events")
    (deleted,) = noted("resource_ref", "noted.key")
    assert (deleted["resource_type"], deleted["http_method"], deleted["outcome"]) == ("keys", "DELETE", "success")
    (refused,) = noted("actor_login", "nobody-noted")
    assert (refused["outcome"], refused["category"]) == ("denied", "auth")


def test_cookies_are_for_origins_that_were_named(site: Site) -> None:
    server = site.another_server(ATTUNE__SERVER__CORS_ORIGINS="https://web.example.org")
    for url, origin, shared in (
        (site.server.url, "http://localhost:3000", None),
        (server.url, "https://web.example.org", "true"),
        (server.url, "http://localhost:3000", None),
    ):
        answer = httpx.get(f"{url}/health", headers={"Origin": origin}, trust_env=False)
        allowed = answer.headers.get("access-control-allow-origin")
        assert (allowed and answer.headers.get("access-control-allow-credentials")) == shared
    assert server.stop() == 0


@pytest.mark.parametrize("kind", ["sensor", "execution", "worker"])
def test_nobody_is_called_as_a_program_is(site: Site, kind: str) -> None:
    body = {"login": f"{kind}:core.timer_sensor", "password": PASSWORD}
    assert site.admin.post("/api/v1/identities", body).status_code == 422


def test_nobody_gives_more_than_he_has(site: Site) -> None:
    ref = site.permission_set([{"resource": "permissions", "actions": ["read", "manage"]}])
    login, client = site.person(ref)
    body = {"identity_login": login, "permission_set_ref": "core.admin"}
    assert client.post("/api/v1/permissions/assignments", body).status_code == 403
    assert site.deployment.all("SELECT 1 FROM identity_role_assignment") == []
    sets = {one["ref"]: one["id"] for one in site.admin.ok("GET", "/api/v1/permissions/sets")}
    role = site.admin.ok("POST", f"/api/v1/permissions/sets/{sets['core.admin']}/roles", {"role": "boss"})
    me = client.ok("GET", "/auth/me")["id"]
    assert client.post(f"/api/v1/identities/{me}/roles", {"role": "boss"}).status_code == 403
    grants = {"grants": [{"resource": "keys", "actions": ["decrypt"]}]}
    assert client.request("PUT", f"/api/v1/permissions/sets/{sets['core.viewer']}", json=grants).status_code == 403
    site.admin.ok("DELETE", f"/api/v1/permissions/sets/roles/{role['id']}")


def test_no_action_is_given_more_than_who_says_what_it_runs(site: Site) -> None:
    _, editor = site.person("core.editor")
    editor.ok("POST", "/api/v1/packs", {"ref": "of_editor", "label": "x"})
    action = {
        "ref": "of_editor.tool",
        "pack_ref": "of_editor",
        "label": "x",
        "entrypoint": "echo",
        "runtime_ref": "core.shell",
    }
    strong = action | {"default_execution_permission_set_refs": ["core.admin"]}
    refused = editor.post("/api/v1/actions", strong)
    assert refused.status_code == 403
    assert refused.json()["error"].startswith("you can't pass on what you don't hold: ")
    weak = action | {"default_execution_permission_set_refs": ["core.viewer"]}
    editor.ok("POST", "/api/v1/actions", weak)
    editor.ok("PUT", "/api/v1/actions/of_editor.tool", {"entrypoint": "echo 2"})
    site.admin.ok("POST", "/api/v1/actions", strong | {"ref": "of_editor.strong"})
    assert editor.request("PUT", "/api/v1/actions/of_editor.strong", json={"entrypoint": "env"}).status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/packs/upload", "/api/v1/operator/packs"])
@pytest.mark.parametrize("where", ["action", "rule", "own set"])
def test_no_pack_is_given_more_than_who_installs_it(site: Site, path: str, where: str) -> None:
    _, installer = site.person(site.permission_set([{"resource": "packs", "actions": ["install"]}]))
    ref = "more_" + where.replace(" ", "_")
    grants = "label: x\ngrants: [{resource: keys, actions: [decrypt]}]\n"
    files = {
        "pack.yaml": f"ref: {ref}\nlabel: x\nversion: 1.0.0\n",
        "actions/a.yaml": f"ref: {ref}.a\nlabel: x\nrunner_type: shell\nentry_point: a.sh\n",
        "actions/a.sh": "echo\n",
    }
    if where == "rule":
        files["rules/r.yaml"] = (
            f"ref: {ref}.r\nlabel: x\ntrigger_ref: core.alert\naction_ref: {ref}.a\npermission_set_refs: [core.admin]\n"
        )
    else:
        given = "core.admin" if where == "action" else f"{ref}.own"
        files["actions/a.yaml"] += f"default_execution_permission_set_refs: [{given}]\n"
        files["permission_sets/own.yaml"] = f"ref: {ref}.own\n{grants}"
    answer = installer.request("POST", path, files={"pack": archive_of(files)}, data={"force": "true"})
    assert answer.status_code == 403, answer.text
    assert "pass on" in answer.json()["error"]
    assert site.admin.request("POST", path, files={"pack": archive_of(files)}, data={"force": "true"}).status_code < 300


def archive_of(files: dict[str, str]) -> bytes:
    """Return a pack as it is uploaded."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_a_secret_of_a_pack_is_shown_only_to_who_may_set_it(site: Site) -> None:
    schema = {"token": {"type": "string", "secret": True}, "open": {"type": "string"}}
    config = {"token": "hunter2", "open": "yes"}
    site.admin.ok(
        "POST", "/api/v1/packs", {"ref": "with_secret", "label": "x", "conf_schema": schema, "config": config}
    )
    grants = [{"resource": "packs", "actions": ["read"], "constraints": {"refs": ["with_secret"]}}]
    _, reader = site.person(site.permission_set(grants))
    shown = reader.ok("GET", "/api/v1/packs/with_secret")["config"]
    assert (shown["open"], shown["token"]) == ("yes", {"$attune_secret": True, "redacted": True})
    assert site.admin.ok("GET", "/api/v1/packs/with_secret")["config"] == config


def test_a_malformed_origin_is_a_foreign_one(site: Site) -> None:
    answer = site.admin.as_(None).post("/sign-in", headers={"Origin": "http://["}, data={"login": "x"})
    assert answer.status_code == 403


def test_a_ref_has_no_control_character_and_its_address_is_one(site: Site) -> None:
    def make(ref: str) -> httpx.Response:
        return site.admin.post("/api/v1/keys", {"ref": ref, "name": ref, "owner_type": "system", "value": "1"})

    for ref in ("some.key\n", "some.\x01key", "some.\x7f"):
        assert make(ref).status_code == 422
    for ref in ("some.日本", "some.é", "some.?a=1#b%2f"):
        made = make(ref)
        assert made.status_code == 201
        assert site.admin.ok("GET", made.headers["Location"])["ref"] == ref


def test_cookies_that_were_renewed_stay_within_https(site: Site) -> None:
    server = site.another_server(ATTUNE__SERVER__PUBLIC_URL="https://attune.example.org")
    found = site.admin.as_(None).ok("POST", "/auth/login", {"login": "admin", "password": PASSWORD})
    for url, encrypted in ((server.url, True), (site.server.url, False)):
        shown = {"Cookie": f"attune_refresh_token={found['refresh_token']}"}
        answer = httpx.post(f"{url}/auth/refresh", headers=shown, trust_env=False)
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == 2
        assert all("HttpOnly" in one and ("; Secure" in one) == encrypted for one in cookies)
    assert server.stop() == 0


def test_nobody_logs_in_as_somebody_who_may_do_more(site: Site) -> None:
    ref = site.permission_set([{"resource": "identities", "actions": ["read", "update"]}])
    helper_login, helper = site.person(ref)
    admin = site.deployment.one("SELECT id FROM identity WHERE login = 'admin'")["id"]
    refused = helper.request("PUT", f"/api/v1/identities/{admin}", json={"password": "taken over now"})
    assert refused.status_code == 403
    assert refused.json()["error"].startswith("this account may do what you may not: ")
    assert helper.post(f"/api/v1/identities/{admin}/integration-tokens", {"label": "mine"}).status_code == 403
    assert site.admin.login("admin", PASSWORD).token
    forgetful, _ = site.person()
    equal = site.deployment.one("SELECT id FROM identity WHERE login = %s", [forgetful])["id"]
    helper.ok("PUT", f"/api/v1/identities/{equal}", {"password": "a new password"})
    assert helper.login(forgetful, "a new password").token
    me = site.deployment.one("SELECT id FROM identity WHERE login = %s", [helper_login])["id"]
    helper.ok("POST", f"/api/v1/identities/{me}/integration-tokens", {"label": "mine"})


def test_an_action_sees_its_own_execution_and_no_other(site: Site) -> None:
    mine, other = (site.admin.ok("POST", "/api/v1/executions", {"action_ref": "core.echo"})["id"] for _ in range(2))
    shown = token("execution", execution_id=mine, permission_set_refs=[], action_ref="core.echo")
    client = site.admin.as_(shown)
    assert client.get(f"/api/v1/executions/{mine}").status_code == 200
    assert client.get(f"/api/v1/executions/{other}").status_code == 403
    assert [one["id"] for one in client.ok("GET", "/api/v1/executions")["items"]] == [mine]
    assert client.post("/api/v1/executions/execute", {"action_ref": "core.echo"}).status_code == 403
    assert client.post(f"/api/v1/executions/{mine}/cancel").status_code == 403


def test_an_action_that_may_starts_executions_as_its_own_children(site: Site) -> None:
    mine = site.admin.ok("POST", "/api/v1/executions", {"action_ref": "core.echo"})
    shown = token("execution", execution_id=mine["id"], permission_set_refs=["core.executor"])
    child = site.admin.as_(shown).ok("POST", "/api/v1/executions/execute", {"action_ref": "core.echo"})
    assert (child["parent"], child["executor"]) == (mine["id"], mine["executor"])
    unknown = token("execution", execution_id=mine["id"], permission_set_refs=["no.such"])
    assert site.admin.as_(unknown).get("/api/v1/workers").status_code == 403
