"""Where the server is and how it is reached: its URL, the authorities that sign for it, a proxy in between."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import unquote, urlsplit

from agent.authorities import tls_context
from agent.errors import ConfigurationError
from agent.settings import NetworkSettings

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; ``credentials`` is the value of ``Proxy-Authorization``."""

    host: str
    port: int
    credentials: str | None


@dataclass(frozen=True)
class ServerAddress:
    """Makes connections to one server. ``prefix`` is what every path begins with."""

    url: str
    scheme: str
    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    proxy: Proxy | None

    def connection(self, timeout: float) -> HTTPConnection:
        """Return a connection that isn't open yet."""
        host, port = (self.host, self.port) if self.proxy is None else (self.proxy.host, self.proxy.port)
        if self.tls is None:
            return HTTPConnection(host, port, timeout=timeout)
        made = HTTPSConnection(host, port, timeout=timeout, context=self.tls)
        if self.proxy is not None:
            made.set_tunnel(self.host, self.port, self.proxy_headers())
        return made

    def target(self, path: str) -> str:
        """Return what stands in the request line: a proxy that sees the request wants the whole URL."""
        whole = self.proxy is not None and self.tls is None
        return f"{self.scheme}://{self._authority}{self.prefix}{path}" if whole else f"{self.prefix}{path}"

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        found = {"Host": self._authority}
        return found | self.proxy_headers() if self.proxy is not None and self.tls is None else found

    def proxy_headers(self) -> dict[str, str]:
        """Return what the proxy itself wants to see."""
        known = None if self.proxy is None else self.proxy.credentials
        return {} if known is None else {"Proxy-Authorization": known}

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def server_address(url: str, network: NetworkSettings, env: Mapping[str, str]) -> ServerAddress:
    """Read ``url``; proxy and authorities are those of ``network``, else what the image's environment names.

    Raises:
        ConfigurationError: a URL is malformed, or the file of authorities can't be used.
    """
    scheme, host, port, path = _parts(url, "ATTUNE_API_URL")
    return ServerAddress(
        url.rstrip("/"), scheme, host, port, path, _tls(network) if scheme == "https" else None,
        _proxy(scheme, host, network, env),
    )  # fmt: skip


def _parts(url: str, name: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{name} is no URL: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"{name} must be the URL of the server, such as http://attune:8080")
    if any(not "!" <= character <= "~" for character in parts.path):
        raise ConfigurationError(f"{name} has a path with characters that must be written as %XX")
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme], parts.path.rstrip("/")


def _tls(network: NetworkSettings) -> ssl.SSLContext:
    try:
        return tls_context(network.ca_file)
    except OSError as error:
        raise ConfigurationError(f"network.ca_file {network.ca_file} can't be used: {error}") from error


def _proxy(scheme: str, host: str, network: NetworkSettings, env: Mapping[str, str]) -> Proxy | None:
    # Only in small letters for http: a CGI program's HTTP_PROXY is a header that anybody can send.
    named = env.get(f"{scheme}_proxy") or (env.get("HTTPS_PROXY") if scheme == "https" else None)
    text = network.proxy or named or env.get("all_proxy") or env.get("ALL_PROXY")
    excluded = network.no_proxy or env.get("no_proxy") or env.get("NO_PROXY") or ""
    if not text or _is_excluded(host, excluded):
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name or parts.scheme != "http":
        raise ConfigurationError("the proxy (network.proxy, http_proxy, https_proxy) must be an http:// URL")
    credentials = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(name, port or 80, credentials)


def _is_excluded(host: str, names: str) -> bool:
    """Whether a list such as ``localhost,.internal,10.0.0.7`` names the host, itself or a domain that it is in."""
    if host in ("localhost", "127.0.0.1", "::1"):
        return True
    for name in (item.strip().lower() for item in names.split(",")):
        bare = name.lstrip("*").lstrip(".").partition(":")[0] if name.count(":") == 1 else name.lstrip("*").lstrip(".")
        if name == "*" or (bare and (host.lower() == bare or host.lower().endswith(f".{bare}"))):
            return True
    return False
