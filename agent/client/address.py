"""Where an API is: what somebody types, checked (pure)."""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.errors import UsageError

_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))


def api_url(text: str) -> str:
    """Return the base URL that ``text`` means, without a slash at its end; a path prefix stays.

    Raises:
        UsageError: it is no URL of HTTP, or holds what doesn't belong there.
    """
    typed = text.strip()
    try:
        parts = urlsplit(typed if "://" in typed else f"https://{typed}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{typed[:200]!r} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or any(not one.isprintable() or one == " " for one in typed):
        raise UsageError(f"{typed[:200]!r} is no URL of an API", hint="write it as https://attune.example.org")
    if parts.username is not None or parts.password is not None:
        raise UsageError("a URL of an API holds no password", hint="log in instead: attune login URL")
    if parts.query or parts.fragment:
        raise UsageError("a URL of an API ends with its path", hint="leave out what follows ? or #")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port is not None else ''}{parts.path.rstrip('/')}"


def readable_by_others(url: str) -> bool:
    """Whether a password would travel unencrypted over a network."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _LOCAL
