"""Where a request comes from: the peer's address, or what a proxy that is trusted says it is."""

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


def _trusted(address: str, proxies: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
        return any(found in ipaddress.ip_network(proxy, strict=False) for proxy in proxies)
    except ValueError:
        return False
