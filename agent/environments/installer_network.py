"""How installers reach their indexes: one section of settings, put into the words of each installer (pure)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from agent.settings import NetworkSettings

#: Each index in the words of who uses it.
_INDEXES = {
    "python_index": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    "npm_registry": ("npm_config_registry",),
    "gem_mirror": ("BUNDLE_MIRROR__ALL",),
    "go_proxy": ("GOPROXY",),
    "cran_mirror": ("RENV_CONFIG_REPOS_OVERRIDE",),
}
_CA_FILES = (
    *("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "NODE_EXTRA_CA_CERTS"),
    *("npm_config_cafile", "BUNDLE_SSL_CA_CERT", "PERL_LWP_SSL_CA_FILE"),
)


def network_variables(network: NetworkSettings) -> dict[str, str]:
    """Return the variables by which every installer learns of proxy, authorities, index and mirror."""
    found: dict[str, str] = {}
    for name, variables in _INDEXES.items():
        value = getattr(network, name)
        if value:
            found |= dict.fromkeys(variables, value)
    if network.python_index and network.python_index.startswith("http://"):  # pip would pass over it
        found["PIP_TRUSTED_HOST"] = network.python_index.split("/")[2].rpartition("@")[2]
    if network.cpan_mirror:
        found["PERL_CPANM_OPT"] = f"--mirror {shlex.quote(network.cpan_mirror)} --mirror-only"
    if network.ca_file is not None:
        found |= dict.fromkeys(_CA_FILES, str(network.ca_file))
    if network.proxy:
        found |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), network.proxy)
    if network.no_proxy:
        found |= dict.fromkeys(("NO_PROXY", "no_proxy"), network.no_proxy)
    return found


def maven_settings(env: Mapping[str, str], mirror: str | None) -> str | None:
    """Return a ``settings.xml`` with the proxy of ``env`` and the mirror; None where there is nothing to say.

    Maven reads no ``HTTP_PROXY``. A repository of files, such as one that lies in the pack, needs no mirror.
    """
    proxies = "".join(_proxy(env, scheme) for scheme in ("https", "http"))
    mirrors = (
        f"<mirror><id>attune</id><mirrorOf>external:*</mirrorOf><url>{escape(mirror)}</url></mirror>" if mirror else ""
    )
    if not proxies and not mirrors:
        return None
    return f"<settings><proxies>{proxies}</proxies><mirrors>{mirrors}</mirrors></settings>\n"


def _proxy(env: Mapping[str, str], scheme: str) -> str:
    text = env.get(f"{scheme}_proxy") or env.get(f"{scheme.upper()}_PROXY") or ""
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        host, port = url.hostname, url.port
    except ValueError:
        return ""
    if not text or not host:
        return ""
    hosts = (env.get("no_proxy") or env.get("NO_PROXY") or "").split(",")
    excluded = "|".join(("*" + item if item.startswith(".") else item).strip() for item in hosts if item.strip())
    parts = {
        "id": f"attune-{scheme}",
        "active": "true",
        "protocol": scheme,
        "host": host,
        "port": str(port or 80),
        "username": url.username or "",
        "password": url.password or "",
        "nonProxyHosts": excluded,
    }
    return f"<proxy>{''.join(f'<{key}>{escape(value)}</{key}>' for key, value in parts.items() if value)}</proxy>"
