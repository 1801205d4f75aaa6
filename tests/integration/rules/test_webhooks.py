"""Webhooks: only who knows the secret makes an event, once; everything else is refused with a status."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
import uuid
from typing import Any

import httpx
import pytest

from tests.integration.rules.conftest import executions, make_rule, make_trigger, outcome
from tests.integration.server.conftest import Site

pytestmark = pytest.mark.postgres


class Hook:
    """A trigger with its webhook on."""

    def __init__(self, site: Site, **settings: Any) -> None:
        self.site = site
        self.trigger = make_trigger(site)
        self.on(**settings)

    def on(self, **settings: Any) -> dict[str, Any]:
        answer = self.site.admin.ok("POST", f"/api/v1/triggers/{self.trigger}/webhooks/enable", settings)
        self.url = answer["webhook_url"]
        self.secret = str(answer.get("webhook_secret") or settings.get("secret") or getattr(self, "secret", ""))
        return dict(answer)

    def send(self, body: bytes, headers: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
        given = {"Content-Type": "application/json", **(headers or {})}
        return self.site.admin.as_(None).request("POST", self.url, content=body, headers=given, **options)

    def signed(self, body: bytes, algorithm: str = "sha256", secret: str | None = None) -> dict[str, str]:
        digest = hmac.new((secret or self.secret).encode(), body, algorithm).hexdigest()
        return {"X-Hub-Signature-256": f"{algorithm}={digest}"}

    def events(self) -> list[dict[str, Any]]:
        return self.site.deployment.all("SELECT * FROM event WHERE trigger_ref = %s ORDER BY id", [self.trigger])

    def log(self) -> list[dict[str, Any]]:
        return self.site.deployment.all(
            "SELECT * FROM webhook_event_log WHERE trigger_ref = %s ORDER BY id", [self.trigger]
        )


def unique() -> bytes:
    return json.dumps({"n": uuid.uuid4().hex}).encode()


def test_a_signed_request_is_an_event_that_starts_an_action(site: Site) -> None:
    hook = Hook(site)
    make_rule(site, hook.trigger, action_params={"message": "{{ event.payload.n }}"})
    body = unique()
    answer = hook.send(body, hook.signed(body) | {"Authorization": "Bearer private", "X-GitHub-Event": "push"})
    assert answer.status_code == 200, answer.text
    event = answer.json()["data"]["event_id"]
    assert outcome(site, event)["matched"] == 1
    assert [one["config"] for one in executions(site, event)] == [{"message": json.loads(body)["n"]}]
    kept = hook.events()[0]["config"]
    assert kept["headers"]["x-github-event"] == "push"
    assert "private" not in str(hook.events() + hook.log())
    assert hook.signed(body)["X-Hub-Signature-256"].partition("=")[2] not in str(hook.events() + hook.log())
    assert hook.secret not in str(site.deployment.all("SELECT webhook_config FROM trigger"))


def test_the_form_of_other_services_carries_its_payload(site: Site) -> None:
    hook = Hook(site, scheme="none")
    assert hook.send(b'{"payload": [1], "headers": {"a": "b"}}').status_code == 200
    assert hook.send(b'{"payload": [1], "other": 1}').status_code == 200
    assert [one["payload"] for one in hook.events()] == [[1], {"payload": [1], "other": 1}]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": "sha256=\u00e9\u00ff".encode("latin-1")},
        {"X-Hub-Signature-256": "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"X-Webhook-Signature": "nothing"},
        {"X-Hub-Signature-256": "=" * 5000},
    ],
)
def test_what_is_not_signed_right_is_refused_and_says_why_in_the_log_only(site: Site, headers: dict[str, Any]) -> None:
    hook = Hook(site)
    answer = hook.send(b"{}", headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "the request could not be verified")
    assert hook.events() == []
    assert hook.log()[0]["status_code"] == 401
    assert hook.log()[0]["error_message"]


def test_the_raw_bytes_are_what_is_signed(site: Site) -> None:
    hook = Hook(site)
    assert hook.send(b'{"a":  1}', hook.signed(b'{"a": 1}')).status_code == 401


def test_standard_webhooks(site: Site) -> None:
    hook = Hook(site, scheme="standard")
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))

    def headers(body: bytes, *, at: float = 0, identifier: str = "") -> dict[str, str]:
        name, moment = identifier or uuid.uuid4().hex, str(int(time.time() + at))
        right = base64.b64encode(hmac.new(key, f"{name}.{moment}.".encode() + body, "sha256").digest()).decode()
        return {"webhook-id": name, "webhook-timestamp": moment, "webhook-signature": f"v1,AAAA v1,{right}"}

    body = unique()
    assert hook.send(body, headers(body)).status_code == 200
    assert hook.send(body, headers(body, at=-290)).status_code == 200
    for at in (-310, 310):
        assert hook.send(body, headers(body, at=at)).status_code == 401
    assert hook.send(body, headers(body) | {"webhook-signature": "nocomma"}).status_code == 401
    assert hook.send(body, headers(body) | {"webhook-timestamp": "9" * 400}).status_code == 401
    once = headers(body, identifier="same")
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(hook.send(body, once))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["data"]["event_id"] for answer in answers}) == 1
    assert len(hook.events()) == 3


def test_stripe_and_a_token_in_a_header(site: Site) -> None:
    hook = Hook(site, scheme="stripe", secret="whsec_test_of_stripe")
    body, now = unique(), int(time.time())
    right = hmac.new(b"whsec_test_of_stripe", f"{now}.".encode() + body, "sha256").hexdigest()
    assert hook.send(body, {"Stripe-Signature": f"t={now},v1={'0' * 64},v1={right}"}).status_code == 200
    assert hook.send(body, {"Stripe-Signature": f"t={now - 400},v1={right}"}).status_code == 401
    assert hook.send(body, {"Stripe-Signature": f"v1={right}"}).status_code == 401
    token = Hook(site, scheme="token", secret="a token of gitlab", token_header="X-Gitlab-Token")
    assert token.send(b"{}", {"X-Gitlab-Token": "a token of gitlab"}).status_code == 200
    assert token.send(b"{}", {"X-Gitlab-Token": "another"}).status_code == 401
    assert "a token of gitlab" not in str(token.events() + token.log())


def test_the_same_signed_body_is_one_event_unless_it_is_switched_off(site: Site) -> None:
    hook = Hook(site)
    body = unique()
    first = hook.send(body, hook.signed(body) | {"X-GitHub-Delivery": "1"}).json()["data"]["event_id"]
    again = hook.send(body, hook.signed(body) | {"X-GitHub-Delivery": "2"}).json()["data"]["event_id"]
    assert first == again
    hook.on(once=False)
    assert hook.send(body, hook.signed(body)).json()["data"]["event_id"] != first


def test_secrets_are_exchanged_with_time_to_follow(site: Site) -> None:
    hook = Hook(site, secret="the first of the secrets")
    hook.on(secret="the second of the secrets")
    for secret in ("the first of the secrets", "the second of the secrets"):
        body = unique()
        assert hook.send(body, hook.signed(body, secret=secret)).status_code == 200
    site.deployment.database.execute(
        "UPDATE trigger SET webhook_config = jsonb_set(webhook_config, '{secrets,1,until}', '1') WHERE ref = %s",
        [hook.trigger],
    )
    body = unique()
    assert hook.send(body, hook.signed(body, secret="the first of the secrets")).status_code == 401
    # Off and on again keeps what was set.
    site.admin.ok("POST", f"/api/v1/triggers/{hook.trigger}/webhooks/disable")
    assert hook.send(body, hook.signed(body)).status_code == 404
    hook.on()
    body = unique()
    assert hook.send(body, hook.signed(body, secret="the second of the secrets")).status_code == 200
    old = hook.url
    hook.url = (
        "/api/v1/webhooks/"
        + site.admin.ok("POST", f"/api/v1/triggers/{hook.trigger}/webhooks/regenerate")["webhook_key"]
    )
    body = unique()
    assert hook.send(body, hook.signed(body, secret="the second of the secrets")).status_code == 200
    hook.url = old
    assert hook.send(body, hook.signed(body)).status_code == 404


def test_other_services_settings_are_understood_and_none_at_all_accepts_nothing(site: Site) -> None:
    hook = Hook(site)
    body = unique()

    def configured(config: Any) -> int:
        site.deployment.database.execute(
            "UPDATE trigger SET webhook_config = %s::jsonb WHERE ref = %s", [json.dumps(config), hook.trigger]
        )
        return hook.send(body, hook.signed(body, secret="plain secret")).status_code

    assert configured({"hmac": {"enabled": True, "secret": "plain secret", "algorithm": "sha256"}}) == 200
    refused: list[Any] = [
        {},
        None,
        [],
        {"hmac": {"enabled": True}},
        {"hmac": {"enabled": False, "secret": "plain secret"}},
        {"scheme": "other"},
        {"scheme": "hmac"},
        {"scheme": "hmac", "secrets": [{"value": "x"}]},
    ]
    for config in refused:
        assert configured(config) == 403, config


def test_too_large_too_often_and_from_elsewhere(site: Site) -> None:
    hook = Hook(site, payload_size_limit_kb=2)
    large = json.dumps({"x": "y" * 3000}).encode()
    assert hook.send(large, hook.signed(large)).status_code == 413

    def chunks() -> Any:
        for _ in range(1000):
            yield b"x" * 1024

    chunked = site.admin.as_(None).request("POST", hook.url, content=chunks())
    assert chunked.status_code == 413
    hook.on(rate_limit={"requests": 5, "window_seconds": 60})
    seen = [hook.send(b"{}", {"X-Hub-Signature-256": "sha256=0"}).status_code for _ in range(8)]
    assert seen[-1] == 429
    assert "retry-after" in hook.send(b"{}").headers
    kept = site.deployment.all(
        "SELECT 1 FROM webhook_event_log WHERE trigger_ref = %s AND status_code = 429", [hook.trigger]
    )
    assert len(kept) == 1, "a flood must not fill the table"
    elsewhere = Hook(site, allowed_addresses=["10.0.0.0/8"])
    body = unique()
    spoofed = {"X-Forwarded-For": "10.1.1.1", "X-Real-IP": "10.1.1.1"}
    assert elsewhere.send(body, elsewhere.signed(body) | spoofed).status_code == 403
    elsewhere.on(allowed_addresses=["127.0.0.0/8", "10.0.0.0/8"])
    assert elsewhere.send(body, elsewhere.signed(body)).status_code == 200
    assert (
        site.admin.post(
            f"/api/v1/triggers/{hook.trigger}/webhooks/enable", {"allowed_addresses": ["nonsense"]}
        ).status_code
        == 422
    )


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a": NaN}', b'{"a": 1e999}', b"[" + b"9" * 5000 + b"]", b'"\\u0000"', b"", b"\xff\xfe", b"{"],
    ids=["deep", "NaN", "1e999", "5000 digits", "NUL", "nothing", "no UTF-8", "half"],
)
def test_a_signed_body_that_is_no_json_of_ours_is_refused(site: Site, body: bytes) -> None:
    hook = Hook(site)
    assert hook.send(body, hook.signed(body)).status_code == 400
    assert hook.events() == []


def test_only_who_may_change_a_trigger_sees_its_key_or_switches_it(site: Site) -> None:
    hook = Hook(site)
    _, viewer = site.person("core.viewer")
    shown = viewer.ok("GET", f"/api/v1/triggers/{hook.trigger}")
    assert "webhook_key" not in shown
    for what in ("enable", "disable", "regenerate"):
        assert viewer.post(f"/api/v1/triggers/{hook.trigger}/webhooks/{what}").status_code == 403
    assert site.admin.ok("GET", f"/api/v1/triggers/{hook.trigger}")["webhook_key"]
