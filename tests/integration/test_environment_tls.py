"""Indexes behind TLS with an authority that only the operator knows: ``network.ca_file`` reaches the installers."""

from __future__ import annotations

import functools
import http.server
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.environments.model import PreparedEnvironment
from agent.errors import EnvironmentFailed
from agent.settings import NetworkSettings
from tests.integration.environment_site import Site, make_wheel, needs
from tests.integration.language_bench import LANGUAGES, Bench
from tests.services.tls import Authority, make_authority, make_server_certificate
from tests.services.web import serving


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "authority")


@pytest.fixture
def index(tmp_path: Path, authority: Authority) -> Iterator[str]:
    """The files below ``served``, at an address that begins with https."""
    made = make_server_certificate(authority, "localhost")
    (tmp_path / "served").mkdir()
    server = http.server.ThreadingHTTPServer(
        ("localhost", 0), functools.partial(_Quiet, directory=str(tmp_path / "served"))
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    with serving(server) as port:
        yield f"https://localhost:{port}"


@pytest.mark.language("java")
def test_maven_trusts_the_authorities_that_the_operator_named(tmp_path: Path, index: str, authority: Authority) -> None:
    needs("mvn")
    bench = Bench(LANGUAGES["java"], Site(tmp_path / "site"))
    bench.pack("zero", "0.1")
    bench.ensure("zero")  # Maven's own plugins: a hundred files
    bench.pack("one", "1.0")
    (tmp_path / "served").rmdir()
    (tmp_path / "served").symlink_to(bench.site.packs / "one-repo")
    with pytest.raises(EnvironmentFailed, match="PKIX path building failed"):
        bench.ensure("one", maven_mirror=index)
    prepared = ensure_with(bench, authority.certificate, maven_mirror=index)
    assert bench.run("one", prepared) == "hello from 1.0"


@pytest.mark.language("java")
def test_a_file_of_authorities_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    needs("mvn")
    bench = Bench(LANGUAGES["java"], Site(tmp_path / "site"))
    bench.pack("one", "1.0")
    (tmp_path / "empty.pem").write_text("nothing\n")
    for name in ("empty.pem", "absent.pem"):
        with pytest.raises(EnvironmentFailed, match=rf"network\.ca_file {tmp_path}/{name} can't be used") as caught:
            ensure_with(bench, tmp_path / name)
        assert caught.value.step == "install dependencies"


def test_pip_trusts_the_authorities_that_the_operator_named(
    tmp_path: Path, index: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_RETRIES", "0")
    make_wheel(tmp_path / "served/attune-greeting", "attune_greeting", "1.0", "TEXT = 'hello from 1.0'\n")
    bench = Bench(LANGUAGES["python"], Site(tmp_path / "site"))
    pack = bench.pack("one", "1.0")
    (pack / "requirements.txt").write_text("attune-greeting==1.0\n")
    with pytest.raises(EnvironmentFailed, match=r"CERTIFICATE_VERIFY_FAILED|No matching distribution"):
        bench.ensure("one", python_index=index)
    assert bench.run("one", ensure_with(bench, authority.certificate, python_index=index)) == "hello from 1.0"


def ensure_with(bench: Bench, ca_file: Path, **network: str) -> PreparedEnvironment:
    """Build with an authority."""
    manager = bench.site.new_manager(network=NetworkSettings(ca_file=ca_file, **network))
    return manager.ensure(bench.request("one"))
