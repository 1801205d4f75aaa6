"""Input that nobody should send, on every route: refused with a sentence, or stored as it is, and never a 500."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from agent.server.route import Route
from agent.server.routes import ROUTES
from tests.integration.server.conftest import Site
from tests.integration.server.hostile import query_names, spoiled
from tests.integration.server.test_access import token
from tests.services.deployment import JWT_SECRET

pytestmark = [pytest.mark.postgres, pytest.mark.filterwarnings("ignore:The HMAC key")]

_ADMIN = "the token of the site's admin"


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture(scope="module")
def things(site: Site) -> dict[str, dict[str, Any]]:
    """One thing of each kind, so that what is sent about it is looked at: parameters of paths by what begins them."""
    place, admin = site.deployment, site.admin
    _, person = site.person()
    identity = person.ok("GET", "/auth/me")["id"]
    place.add_action("bad.action", "#!/bin/sh\n")
    place.add_runtime("bad.runtime", {})
    place.add_runtime_version("bad.runtime", "1.2.3", "/bin/true")
    worker = {"name": "bad", "worker_type": "local", "worker_role": "action", "status": "inactive", "capabilities": {}}
    made = admin.ok("POST", f"/api/v1/identities/{identity}/integration-tokens", {"label": "bad"})
    admin.ok("POST", "/api/v1/keys", {"ref": "bad.key", "owner_type": "system", "name": "bad", "value": "x"})
    sets = site.permission_set([])
    return {
        "/api/v1/identities": {"id": identity, "token_id": made["integration_token"]["id"]},
        "/api/v1/permissions/sets": {
            "id": place.one("SELECT id FROM permission_set WHERE ref = %s", [sets])["id"],
        },
        "/api/v1/executions": {"id": admin.ok("POST", "/api/v1/executions", {"action_ref": "bad.action"})["id"]},
        "/api/v1/workers": {"id": place.insert("worker", worker)},
        "/api/v1/runtimes": {"ref": "bad.runtime", "version": "1.2.3"},
        "/api/v1/actions": {"ref": "bad.action"},
        "/api/v1/packs": {"ref": "bad", "pack_ref": "bad"},
        "/api/v1/keys": {"ref": "bad.key"},
    }


def fill(route: Route, things: dict[str, dict[str, Any]], **texts: str) -> str:
    """Name a thing that exists, where one is known, and put ``texts`` into their places."""
    known = next((found for path, found in things.items() if route.path.startswith(path + "/")), {})
    values: dict[str, Any] = {one: 987654321 if route.kind(one) is int else "none" for one in route.names}
    path = route.path.replace(":path}", "}")
    for one, value in (values | known | texts).items():
        path = path.replace("{" + one + "}", str(value))
    return path


def send(site: Site, route: Route, path: str, shown: str | None = _ADMIN, **options: Any) -> httpx.Response:
    """Send a request; what would stream for ever is not read."""
    bearer = site.admin.token if shown is _ADMIN else shown
    headers = ({} if bearer is None else {"Authorization": f"Bearer {bearer}"}) | options.pop("headers", {})
    request = site.admin.http.build_request(route.method, site.server.url + path, headers=headers, **options)
    answer = site.admin.http.send(request, stream=True)
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        answer.read()
    answer.close()
    return answer


def no_bug(answer: httpx.Response, *sent: object) -> None:
    """Never a 500; what is refused is refused with a sentence."""
    told = [str(one)[:200] for one in sent]
    assert answer.status_code < 500 or answer.status_code in (501, 503), (told, answer.status_code, answer.text)
    if answer.status_code == 503:
        assert "retry-after" not in answer.headers, (told, answer.text)  # it was not the database that gave up
    if answer.status_code >= 400 and answer.status_code not in (404, 405) and answer.request.method != "HEAD":
        assert answer.text.strip(), told


def unsigned(header: dict[str, Any], payload: Any, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def bad_tokens() -> Iterator[tuple[str, str]]:
    """Tokens that nobody made, and such as somebody who has the secret could make and never does."""
    now = int(time.time())
    good = {"sub": "1", "login": "admin", "exp": now + 600, "iat": now, "token_type": "access"}

    def signed(claims: Any, algorithm: str = "HS256", **header: Any) -> str:
        return str(jwt.api_jws.encode(json.dumps(claims).encode(), JWT_SECRET, algorithm, headers=header or None))

    yield "two words", "Bearer Bearer"
    yield (
        "points",
        "..",
    )
    yield "long", "x" * 7_000
    yield "integration token", "attune_it_" + "a" * 43
    yield "no algorithm", unsigned({"alg": "none", "typ": "JWT"}, good)
    yield "no algorithm, signed", unsigned({"alg": "none"}, good, b"x" * 32)
    yield "no signature", unsigned({"alg": "HS256"}, good)
    yield "another algorithm", signed(good, "HS512")
    yield "a key of its own", unsigned({"alg": "HS256", "jwk": {"kty": "oct", "k": ""}, "kid": "../../dev/null"}, good)
    yield "a critical extension", signed(good, crit=["exp"], exp=1)
    for what, change in (
        ("expired", {"exp": now - 3600}), ("endless", {"exp": None}), ("end as text", {"exp": "tomorrow"}),
        ("end as truth", {"exp": True}), ("unknown kind", {"token_type": "root"}), ("kind as list", {"token_type": []}),
        ("kind as object", {"token_type": {}}), ("subject as number", {"sub": 1}), ("login as list", {"login": []}),
        ("refresh", {"token_type": "refresh"}), ("no such identity", {"sub": "987654321"}),
        ("subject that is no number", {"sub": "admin"}), ("subject too large", {"sub": "9" * 5_000}),
        ("subject below zero", {"sub": "-1"}), ("subject in other digits", {"sub": "\u0661"}),
        ("subject with NUL", {"sub": "1\x00"}),
    ):  # fmt: skip
        yield what, signed({**good, **change})
    yield "a list", signed([good])
    yield "a number", signed(5)
    yield "deep", unsigned({"alg": "HS256"}, json.loads("[" * 90 + "]" * 90))


def odd_tokens() -> Iterator[tuple[str, str]]:
    """Tokens of programs, rightly signed, with what they never hold: whatever they are told, it is no bug."""
    for kind in ("execution", "worker", "sensor"):
        for metadata in (
            {}, {"execution_id": None}, {"execution_id": "1"}, {"execution_id": -1}, {"execution_id": 10**30},
            {"execution_id": 2**63}, {"execution_id": True}, {"permission_set_refs": "core.admin"},
            {"permission_set_refs": [None, 5, {}]}, {"permission_set_refs": ["\x00", "\ud800"]},
            {"permission_set_refs": ["standard"], "standard_access_action_refs": {"a": 1}},
            {"execution_id": 1, "permission_set_refs": ["core.admin"], "standard_access_pack_refs": [[]]},
        ):  # fmt: skip
            yield f"{kind} {metadata}", token(kind, **metadata)
        for subject in ("worker:1", "", "9" * 18):
            yield f"{kind} {subject}", token(kind, subject=subject, execution_id=1, permission_set_refs=["core.admin"])


@pytest.mark.parametrize("route", [one for one in ROUTES if one.who], ids=name)
def test_no_token_that_nobody_made_is_let_in(site: Site, things: dict[str, Any], route: Route) -> None:
    path = fill(route, {})
    for what, shown in bad_tokens():
        answer = send(site, route, path, shown)
        if "access" not in route.who and answer.status_code == 403:
            continue  # of a kind that it does not let in, before anybody asks whose it is
        assert (what, answer.status_code) == (what, 401), answer.text
        assert answer.headers["www-authenticate"] == "Bearer"
        assert route.method == "HEAD" or answer.json()["error"]["message"]
    for header in ("Basic YWRtaW46YWRtaW4=", "bearer", "Bearer", "é"):
        headers = [(b"Authorization", header.encode("latin-1"))]
        request = httpx.Request(route.method, site.server.url + path, headers=headers)
        answer = site.admin.http.send(request)
        assert answer.status_code in (400, 401), (header, answer.text)


@pytest.mark.parametrize("route", [one for one in ROUTES if one.who], ids=name)
def test_a_token_with_odd_claims_is_no_bug(site: Site, route: Route) -> None:
    for what, shown in odd_tokens():
        no_bug(send(site, route, fill(route, {}), shown), what)


JSON = {"Content-Type": "application/json"}
BODIES = [
    b"", b"{", b"[]", b"null", b'"x"', b"{}" * 2, b"[" * 5_000, b'{"a":' * 100 + b"1" + b"}" * 100, b"\xff\xfe",
    b'{"ref": "a", "ref": "b"}', b'{"login": "\\u0000"}', b'{"label": "\\ud800"}', b'{"x": NaN}', b'{"x": 1e999}',
    b'{"x": ' + b"9" * 5_000 + b"}", b"\xef\xbb\xbf{}", b'{"a": {"b": 1, "b": 2}}', b"{'a': 1}", b"{\"a\": 1,}",
    b'{"x": ' + b"1" * 999_999 + b"}", b'{"action_ref": 5}', b'{"value": ' + b"9" * 400 + b"}",
]  # fmt: skip
HARMLESS = BODIES[-2:]


@pytest.mark.parametrize("route", [one for one in ROUTES if one.body is not None], ids=name)
def test_a_body_that_is_no_json_or_says_things_twice_is_refused(
    site: Site, things: dict[str, Any], route: Route
) -> None:
    path = fill(route, {})
    for body in BODIES:
        if body == b"" and route.body_optional:
            continue
        answer = send(site, route, path, content=body, headers=JSON)
        # Where every field may be left out, an object without any that is known asks for nothing.
        fine = answer.status_code == 200 and body in HARMLESS
        assert fine or 400 <= answer.status_code < 500 or answer.status_code in (501, 503), (body[:40], answer.text)
        assert answer.text
    wrong = send(site, route, path, content=b"a=b", headers={"Content-Type": "text/plain"})
    assert wrong.status_code == 415
    large = b'{"x": "' + b"a" * (2 * 1024 * 1024) + b'"}'
    assert send(site, route, path, content=large, headers=JSON).status_code == 413


@pytest.mark.parametrize("route", [one for one in ROUTES if one.body is not None], ids=name)
def test_each_field_may_hold_anything_and_nothing_breaks(site: Site, things: dict[str, Any], route: Route) -> None:
    assert route.body is not None
    for where, document in spoiled(route.body):
        content = json.dumps(document).encode()
        no_bug(send(site, route, fill(route, things), content=content, headers=JSON), where, document)
    assert site.deployment.all("SELECT 1 FROM key WHERE ref = 'bad.key'"), "SQL of a text was run"


TEXTS = [
    "%00", "%ff", "'; DROP TABLE key; --", "%27 OR 1=1", "9" * 5_000, "-1", "0", "1e3", "9223372036854775808",
    "..%2f..", "%F0%9F%98%80", "%ED%A0%80", "\\", "*" * 300, "%25s%25(id)s", "٣", "1_0", "+1", "NaN", "%5B%5D", "null",
]  # fmt: skip


@pytest.mark.parametrize("route", [one for one in ROUTES if one.names or one.query is not None], ids=name)
def test_paths_and_queries_may_hold_anything_and_nothing_breaks(
    site: Site, things: dict[str, Any], route: Route
) -> None:
    for text in TEXTS:
        for one in route.names:
            no_bug(send(site, route, fill(route, things, **{one: text})), one, text)
    if route.query is None:
        return
    path = fill(route, things)
    for one in query_names(route.query):
        for text in TEXTS:
            no_bug(send(site, route, f"{path}?{one}={text}"), one, text)
        no_bug(send(site, route, f"{path}?{one}=a&{one}=b&{one}"), one, "three times")
        if one in ("page", "page_size", "per_page", "limit"):
            for text in ("0", "-1", "1.5", "9" * 5_000):
                answer = send(site, route, f"{path}?{one}={text}")
                assert answer.status_code == 400, (one, text, answer.text)
    no_bug(send(site, route, path + "?" + "&".join(f"x{n}=1" for n in range(5_000))), "five thousand fields")
