"""Where a request comes from, and whether encrypted: the peer, or what a proxy that is trusted says."""

from __future__ import annotations

import ipaddress

from starlette.requests import Request

from agent.settings import ServerSettings


def client_address(request: Request, settings: ServerSettings) -> str:
    """Return the address. X-Forwarded-For is read from its end, as far as each hop is a trusted proxy."""
    address = request.client.host if request.client else "unknown"
    forwarded = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",") if part.strip()]
    for _ in range(len(forwarded) + 1):
        if not _trusted(address, settings.trusted_proxies) or not forwarded:
            return address
        address = forwarded.pop()
    return address


def is_encrypted(request: Request, settings: ServerSettings) -> bool:
    """Whether the client speaks HTTPS, to this server or to the proxy before it: then cookies never leave that."""
    if (settings.public_url or "").startswith("https://") or request.url.scheme == "https":
        return True
    peer = request.client.host if request.client else ""
    through_proxy = client_address(request, settings) != peer
    return through_proxy and request.headers.get("x-forwarded-proto", "") == "https"


def _trusted(address: str, proxies: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
        return any(found in ipaddress.ip_network(proxy, strict=False) for proxy in proxies)
    except ValueError:
        return False
