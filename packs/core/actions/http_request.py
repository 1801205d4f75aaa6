#!/usr/bin/env python3
"""Sends one HTTP request and prints the answer as JSON; needs nothing but Python 3.8 and its standard library."""

import contextlib
import http.client
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

NEVER_FORWARDED = ("authorization", "cookie", "proxy-authorization")


class Refused(Exception):
    """A parameter makes no sense, or there was no answer."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Returns a redirect as the answer."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        return None


def address(parameters):
    url = str(parameters.get("url") or "")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(f"url: {url!r} is not an http:// or https:// address")
    added = urllib.parse.urlencode(parameters.get("query") or {}, doseq=True)
    query = "&".join(part for part in (parts.query, added) if part)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def request_for(parameters):
    headers = {str(name): str(value) for name, value in (parameters.get("headers") or {}).items()}
    named = {name.lower() for name in headers}
    body = parameters.get("body")
    data = None if body is None else str(body).encode()
    if parameters.get("json_body") is not None:
        data = json.dumps(parameters["json_body"]).encode()
        if "content-type" not in named:
            headers["Content-Type"] = "application/json"
    if parameters.get("bearer_token") and "authorization" not in named:
        headers["Authorization"] = f"Bearer {parameters['bearer_token']}"
    method = str(parameters.get("method") or "GET").upper()
    request = urllib.request.Request(address(parameters), data=data, method=method)  # noqa: S310 - checked there
    for name, value in headers.items():
        if name.lower() in NEVER_FORWARDED:
            request.add_unredirected_header(name, value)
        else:
            request.add_header(name, value)
    return request


def opener_for(parameters):
    context = ssl.create_default_context()
    if parameters.get("verify_ssl") is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    follow = parameters.get("follow_redirects") is not False
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPRedirectHandler() if follow else NoRedirect(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def ask(parameters):
    started = time.monotonic()
    request = request_for(parameters)
    try:
        answer = opener_for(parameters).open(request, timeout=float(parameters.get("timeout") or 30))
    except urllib.error.HTTPError as error:
        answer = error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise Refused(f"no answer from {request.full_url}: {reason}") from None
    return read(answer, int(parameters.get("max_body_bytes") or 1048576), started)


def read(answer, limit, started):
    with answer:
        try:
            raw = answer.read(limit + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Refused(f"the answer of {answer.url} ended early: {error}") from None
    try:
        text = raw[:limit].decode(answer.headers.get_content_charset() or "utf-8", "replace")
    except LookupError:
        text = raw[:limit].decode("utf-8", "replace")
    result = {
        "status_code": answer.status,
        "url": answer.url,
        "headers": {name.lower(): value for name, value in answer.headers.items()},
        "body": text,
        "truncated": len(raw) > limit,
        "elapsed_ms": round((time.monotonic() - started) * 1000),
    }
    if "json" in answer.headers.get_content_type() and not result["truncated"]:
        with contextlib.suppress(ValueError):
            result["json"] = json.loads(text)
    return result


def expected(status, wanted):
    if not wanted:
        return 200 <= status <= 299
    return status in [int(one) for one in (wanted if isinstance(wanted, list) else [wanted])]


def main():
    parameters = json.loads(sys.stdin.read() or "{}")
    try:
        result = ask(parameters)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    except (TypeError, ValueError, AttributeError) as error:
        print(f"a parameter has the wrong form: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    if not expected(result["status_code"], parameters.get("expected_status")):
        print(f"{result['url']} answered with status {result['status_code']}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
