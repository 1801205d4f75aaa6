"""The configuration of nginx that the documents show, as a real proxy with HTTPS below a path."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.command import ROOT, argv, environment
from tests.services.availability import unavailable
from tests.services.deployment import Deployment, running_deployment
from tests.services.ports import free_ports
from tests.services.server import ServerProcess, start_server
from tests.services.tls import make_authority, make_server_certificate
from tests.services.waiting import until

pytestmark = pytest.mark.postgres
CONFIGURATION = ROOT / "deploy" / "nginx" / "attune.conf"


@dataclass
class Site:
    """A server behind nginx; the command knows the URL of nginx and the authority, and no setting."""

    deployment: Deployment
    server: ServerProcess
    url: str
    authority: Path
    environment: dict[str, str]

    def attune(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            argv("attune", *words), env=self.environment, input=stdin, capture_output=True, text=True, timeout=90
        )


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.access(nginx, os.X_OK):
        unavailable("nginx", "apt-get install nginx-light")
    directory = tmp_path_factory.mktemp("nginx")
    authority = make_authority(directory / "ca")
    certificate = make_server_certificate(authority, "localhost", "127.0.0.1")
    with running_deployment(request, "database") as deployment:
        deployment.start_agent("w1")
        (port,) = free_ports(1)
        settings = deployment.environment | {
            "ATTUNE__SERVER__TRUSTED_PROXIES": "127.0.0.1",
            "ATTUNE__SERVER__PUBLIC_URL": f"https://localhost:{port}/attune",
        }
        server = start_server(settings, deployment.directory / "server.log")
        text = CONFIGURATION.read_text(encoding="utf-8")
        for wanted, found in (
            ("127.0.0.1:8080", f"127.0.0.1:{server.port}"),
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("/etc/attune/tls.crt", str(certificate.certificate)),
            ("/etc/attune/tls.key", str(certificate.key)),
        ):
            assert wanted in text
            text = text.replace(wanted, found)
        temporary = "".join(
            f"{kind}_temp_path {directory};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = directory / "nginx.conf"
        main.write_text(
            f"daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log; user root;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n"
        )
        child = subprocess.Popen([nginx, "-p", str(directory), "-c", str(main)], stdin=subprocess.DEVNULL)
        try:
            until(lambda: answers(port) or child.poll() is not None, "nginx listens")
            assert child.poll() is None, (directory / "error.log").read_text()
            knows = {"XDG_CONFIG_HOME": str(directory / "home")}
            made = Site(
                deployment, server, f"https://localhost:{port}/attune", authority.certificate, environment(knows)
            )
            account = subprocess.run(
                argv("attune", "identity", "create", "ada", "--admin"), env=environment(deployment.environment),
                input="a good password", capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert account.returncode == 0, account.stderr
            yield made
        finally:
            child.terminate()
            child.wait(20)
            server.stop()


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_a_certificate_of_an_unknown_authority_is_refused_with_the_remedy(site: Site) -> None:
    done = site.attune("login", site.url, "--user", "ada", stdin="a good password")
    assert done.returncode == 5
    assert "a certificate that isn't trusted" in done.stderr
    assert "attune login --ca-file" in done.stderr
    assert "a good password" not in done.stderr


def test_the_command_works_through_it_below_a_path(site: Site, tmp_path: Path) -> None:
    words = ("login", "--ca-file", str(site.authority), site.url, "--user", "ada")
    done = site.attune(*words, stdin="a good password")
    assert (done.returncode, done.stderr) == (0, "")
    assert site.attune("run", "core.echo", "-p", "message=through").stdout == "through\n"
    pack = tmp_path / "large"
    (pack / "actions").mkdir(parents=True)
    (pack / "pack.yaml").write_text("ref: large\nlabel: Large\nversion: 1.0.0\n")
    (pack / "noise.bin").write_bytes(os.urandom(3 << 20))
    assert site.attune("pack", "register", str(pack)).returncode == 0
    assert (site.deployment.packs / "large" / "noise.bin").stat().st_size == 3 << 20
    gate = tmp_path / "gate"
    site.deployment.add_action("large.lines", f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; echo two\n")
    written = site.attune("run", "large.lines", "--no-wait").stdout.strip()
    words = argv("attune", "execution", "logs", written, "--follow")
    with subprocess.Popen(words, env=site.environment, stdout=subprocess.PIPE, text=True) as followed:
        assert followed.stdout is not None
        assert followed.stdout.readline() == "one\n", "the proxy holds nothing back"
        gate.touch()
        assert followed.communicate(timeout=90)[0] == "two\n"
    assert followed.returncode == 0
    left = site.attune("execution", "download", written, "-o", str(tmp_path / "left"))
    assert left.returncode == 0, left.stderr
    assert [path.read_text() for path in (tmp_path / "left").iterdir()] == ["one\ntwo\n"]


def test_the_page_works_through_it_below_a_path(site: Site, browser: Browser) -> None:
    context = browser.new_context(ignore_https_errors=True)
    page, complaints, beside = context.new_page(), list[str](), list[str]()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("request", lambda sent: None if sent.url.startswith(f"{site.url}/") else beside.append(sent.url))
    page.goto(f"{site.url}/")
    page.fill("#login", "ada")
    page.fill("#password", "a good password")
    page.click("button.primary")
    page.wait_for_url(f"{site.url}/executions")
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    assert {(one["path"], one["secure"], one["httpOnly"]) for one in cookies.values()} == {("/attune", True, True)}
    page.goto(f"{site.url}/actions/core.echo")
    page.fill("[id='p.message']", "through the proxy")
    page.click("button.primary")
    page.wait_for_url(re.compile(re.escape(site.url) + r"/executions/\d+"))
    expect(page.locator("#live")).to_contain_text("complete", timeout=30_000)
    expect(page.locator(".log")).to_contain_text("through the proxy")
    for path in ("executions", "fleet", "packs/core", "runtimes", "rules", "events", "keys", "audit", "docs"):
        page.goto(f"{site.url}/{path}")
        links = page.eval_on_selector_all(
            "[href], [src], [action]", "all => all.map((one) => one.href ?? one.src ?? one.action)"
        )
        assert [link for link in links if not str(link).startswith((f"{site.url}/", "data:"))] == [], path
    page.goto(f"{site.url}/executions")
    page.click("text=Sign out")
    page.wait_for_url(f"{site.url}/sign-in")
    assert (complaints, beside) == ([], [])
    context.close()


def test_what_the_server_says_of_its_own_paths_and_of_clients_is_right_behind_it(site: Site) -> None:
    import ssl

    import httpx

    context = ssl.create_default_context(cafile=str(site.authority))
    with httpx.Client(verify=context, trust_env=False, base_url=site.url) as client:
        token = client.post("/auth/login", json={"login": "ada", "password": "a good password"}).json()
        headers = {"Authorization": f"Bearer {token['data']['access_token']}"}
        made = client.post("/api/v1/executions/execute", json={"action_ref": "core.echo"}, headers=headers)
        assert made.status_code == 201
        assert re.fullmatch(re.escape(site.url) + r"/api/v1/executions/\d+", made.headers["Location"])
        assert client.get("/health/ready").status_code == 200
        assert client.get("/auth/me", headers={"Authorization": "Bearer x"}).status_code == 401
    site.deployment.one("SELECT 1 AS one")
    rows = "SELECT DISTINCT host(actor_ip) AS ip FROM audit_event WHERE actor_ip IS NOT NULL"
    until(lambda: site.deployment.all(rows), "an audit event")
    assert {row["ip"] for row in site.deployment.all(rows)} == {"127.0.0.1"}


def test_the_server_that_is_away_behind_it_is_said_so(site: Site) -> None:
    site.server.kill()
    done = site.attune("worker", "list", "--json")
    assert done.returncode == 5
    assert f"asked: the API at {site.url}" in done.stderr
    assert "502" in done.stderr
    with_a_log_in = json.loads((Path(site.environment["XDG_CONFIG_HOME"]) / "attune" / "login.json").read_text())
    assert with_a_log_in["url"] == site.url
