"""What an operator says once about proxy and authorities reaches each installer, in its own words."""

from __future__ import annotations

import http.server
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import EnvironmentFailed
from agent.settings import NetworkSettings
from tests.integration import language_packs as packs
from tests.integration.environment_site import Site, core_config
from tests.integration.language_bench import LANGUAGES, UNREACHABLE, Bench, uv_program
from tests.services.tls import Authority, make_authority, make_server_certificate
from tests.services.web import serving

INSTALLERS = [
    pytest.param(name, marks=pytest.mark.language(name.replace("uv", "python"))) for name in (*UNREACHABLE, "uv")
]


class Recorder(http.server.BaseHTTPRequestHandler):
    """Has nothing, and notes what it was asked for."""

    asked: list[str]

    def _refuse(self) -> None:
        self.asked.append(self.requestline)
        self.send_error(404)

    do_GET = do_HEAD = do_CONNECT = _refuse  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server on a free port; it doesn't answer yet."""
    handler = type("Noting", (Recorder,), {"asked": []})
    made = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    made.handle_error = lambda *_: None  # type: ignore[method-assign]
    yield made
    made.server_close()


def build(tmp_path: Path, installer: str, monkeypatch: pytest.MonkeyPatch, index: str, **network: object) -> None:
    """Try to install what no index has."""
    for name in ("PIP_RETRIES", "npm_config_fetch_retries", "BUNDLE_RETRY", "UV_HTTP_RETRIES"):
        monkeypatch.setenv(name, "0")
    (tmp_path / "wgetrc").write_text("tries = 1\n")  # cpanm lets wget try twenty times
    monkeypatch.setenv("WGETRC", str(tmp_path / "wgetrc"))
    language = "python" if installer == "uv" else installer
    bench = Bench(LANGUAGES[language], Site(tmp_path / index.partition(":")[0]))
    setting, files = UNREACHABLE[language]
    packs.write(bench.site.packs / "one", files)
    settings = NetworkSettings(**{setting: index, **network})  # type: ignore[arg-type]
    if installer == "uv":
        manager = bench.site.new_manager(network=settings, uv=uv_program())
        request = bench.site.request("one", core_config("python"))
    else:
        manager, request = bench.site.new_manager(network=settings), bench.request("one")
    with pytest.raises(EnvironmentFailed):
        manager.ensure(request)


@pytest.mark.parametrize("installer", INSTALLERS)
def test_the_proxy_is_asked(
    tmp_path: Path, installer: str, server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(server) as port:
        build(tmp_path, installer, monkeypatch, "http://index.invalid/x", proxy=f"http://localhost:{port}")
    asked: list[str] = server.RequestHandlerClass.asked  # type: ignore[attr-defined]
    assert any(line.startswith("GET http://index.invalid/x") for line in asked), asked


@pytest.mark.parametrize("installer", INSTALLERS)
def test_the_authorities_are_trusted(
    tmp_path: Path, installer: str, server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority: Authority = make_authority(tmp_path / "authority")
    made = make_server_certificate(authority, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    asked: list[str] = server.RequestHandlerClass.asked  # type: ignore[attr-defined]
    with serving(server) as port:
        index = f"https://localhost:{port}/x"
        (tmp_path / "without").mkdir()
        build(tmp_path / "without", installer, monkeypatch, index)
        assert asked == [], "it must not be trusted by itself"
        build(tmp_path, installer, monkeypatch, index, ca_file=authority.certificate)
    assert any(" /x" in line for line in asked), asked
