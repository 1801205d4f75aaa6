"""A private RabbitMQ node for tests and benchmarks: Debian's server, free ports, data of its own."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.services.availability import unavailable
from tests.services.ports import free_ports
from tests.services.tls import Authority, ServerCertificate, make_authority, make_server_certificate

SCRIPTS = Path("/usr/lib/rabbitmq/bin")
START_TIMEOUT = 180.0
NOT_OURS = "ATTUNE_TEST_AMQP_URL names a server that is not the tests' own: they neither stop nor administer it"


class RabbitNode:
    """One server with its own name daemon (epmd); both end with this process, whatever ends it.

    ``directory`` holds data, logs and configuration; with a ``certificate`` it also listens for TLS.
    Not for several threads.
    """

    def __init__(
        self,
        directory: Path,
        *,
        certificate: ServerCertificate | None = None,
        settings: Mapping[str, str] | None = None,
        beside: RabbitNode | None = None,
    ) -> None:
        """Choose ports and write the configuration; ``settings`` are further lines of rabbitmq.conf.

        ``beside`` is a node that runs already: this one shares its name daemon and cookie, and can ``join`` it.
        """
        self.directory = directory
        self.port, self.tls_port, self.http_port, self._dist_port, self._epmd_port = free_ports(5)
        self._shared = beside
        self._processes: list[subprocess.Popen[bytes]] = []
        self.name = f"attune{self.port}@localhost"
        directory.mkdir(parents=True, exist_ok=True)
        lines = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "management.tcp.ip": "127.0.0.1",
            "management.tcp.port": str(self.http_port),
            "management_agent.disable_metrics_collector": "true",
            "log.file.level": "info",
            "disk_free_limit.absolute": "50MB",
        }
        if certificate is not None:
            lines |= {
                "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
                "ssl_options.certfile": str(certificate.certificate),
                "ssl_options.keyfile": str(certificate.key),
                "ssl_options.verify": "verify_none",
            }
        lines |= dict(settings or {})
        (directory / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
        (directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (directory / "rabbitmq-env.conf").write_text("")
        cookie = directory / ".erlang.cookie"
        if beside is not None:
            self._epmd_port = beside._epmd_port
            shutil.copy(beside.directory / ".erlang.cookie", cookie)
        elif not cookie.exists():
            cookie.write_text(secrets.token_hex(16))
            cookie.chmod(0o400)

    @property
    def url(self) -> str:
        """URL of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"

    @property
    def tls_url(self) -> str:
        """URL of the TLS listener, by the name that certificates of tests carry."""
        return f"amqps://guest:guest@localhost:{self.tls_port}/%2f"

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        # util-linux's setpriv makes the kernel end both when the test run dies, even by SIGKILL.
        bound = ["setpriv", "--pdeathsig", "TERM"]
        with (self.directory / "console.log").open("ab") as console:
            epmd = [*bound, "epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            for command in (*([] if self._shared else [epmd]), [*bound, str(SCRIPTS / "rabbitmq-server")]):
                self._processes.append(
                    subprocess.Popen(
                        command,
                        env=self._environment(),
                        cwd=self.directory,
                        stdin=subprocess.DEVNULL,
                        stdout=console,
                        stderr=console,
                        start_new_session=True,
                    )
                )
        self.wait_until_ready()

    def wait_until_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until both listeners accept connections."""
        deadline = time.monotonic() + timeout
        for port in (self.port, self.http_port):
            while not _accepts(port):
                ended = [process.args for process in self._processes if process.poll() is not None]
                if ended or time.monotonic() > deadline:
                    tail = (self.directory / "console.log").read_text(errors="replace")[-2000:]
                    self.stop()
                    raise RuntimeError(f"the RabbitMQ node did not start:\n{tail}")
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, then its name daemon; the data stay."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self._processes.clear()

    def kill(self) -> None:
        """End the server at once, as a power cut would."""
        for process in reversed(self._processes):
            process.kill()
            process.wait(10)
        self._processes.clear()

    def restart(self) -> None:
        """Restart the broker inside the running virtual machine (``rabbitmqctl stop_app``, ``start_app``)."""
        self.stop_app()
        self.start_app()

    def stop_app(self) -> None:
        """Stop the broker: listeners close and connections end; the virtual machine goes on."""
        self.ctl("stop_app")

    def start_app(self) -> None:
        """Start the broker again after ``stop_app``."""
        self.ctl("start_app")
        self.wait_until_ready()

    def join(self, other: RabbitNode) -> None:
        """Make a cluster with the node that this one was started ``beside``."""
        self.ctl("stop_app")
        self.ctl("join_cluster", other.name)
        self.ctl("start_app")
        self.wait_until_ready()

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` and return what it prints. About a second each: prefer the other methods."""
        done = subprocess.run(
            [SCRIPTS / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def vhost_url(self, name: str) -> str:
        """Create a virtual host and return its URL."""
        manage(f"http://127.0.0.1:{self.http_port}", "PUT", f"/api/vhosts/{name}")
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{name}"

    def drop_vhost(self, name: str) -> None:
        """Delete a virtual host; connections to it are closed."""
        manage(f"http://127.0.0.1:{self.http_port}", "DELETE", f"/api/vhosts/{name}")

    def _environment(self) -> dict[str, str]:
        here = str(self.directory)
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": here,
            "RUNNING_UNDER_SYSTEMD": "true",  # makes the script replace itself by the virtual machine
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_MNESIA_BASE": here + "/data",
            "RABBITMQ_LOG_BASE": here + "/log",
            "RABBITMQ_LOGS": here + "/log/node.log",
            "RABBITMQ_CONF_ENV_FILE": here + "/rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": here + "/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": here + "/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": here + "/enabled_plugins",
            "RABBITMQ_PID_FILE": here + "/node.pid",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            # No busy waiting: the machine is shared with what is being tested.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


def _accepts(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def manage(base: str, method: str, path: str, body: object = None) -> bytes:
    """Ask the management API of a server at ``base``; user and password ``guest``."""
    request = urllib.request.Request(base + path, method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    request.add_header("Content-Type", "application/json")
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=30) as response:
        content: bytes = response.read()
        return content


def missing() -> list[str]:
    """Names of the programs that a node needs and that aren't installed."""
    absent = [name for name in ("erl", "epmd", "setpriv") if shutil.which(name) is None]
    return absent if (SCRIPTS / "rabbitmq-server").exists() else [*absent, "rabbitmq-server"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signed the certificates of the servers of this run."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def rabbit_node(authority: Authority) -> Iterator[RabbitNode]:
    """A private node for the whole run, with a certificate for ``localhost``: tests stop it and look into it.

    Where ATTUNE_TEST_AMQP_URL names another server they are skipped: that one is not theirs to stop.
    """
    if os.environ.get("ATTUNE_TEST_AMQP_URL"):
        pytest.skip(NOT_OURS)
    if missing():
        unavailable("RabbitMQ", f"install the Debian package rabbitmq-server (missing: {', '.join(missing())})")
    with tempfile.TemporaryDirectory(prefix="attune-rabbit-") as directory:
        node = RabbitNode(Path(directory), certificate=make_server_certificate(authority, "localhost"))
        node.start()
        try:
            yield node
        finally:
            node.kill()


@pytest.fixture(scope="session")
def amqp_url(request: pytest.FixtureRequest) -> str:
    """URL of the default virtual host of a server: ATTUNE_TEST_AMQP_URL, else the private node."""
    external = os.environ.get("ATTUNE_TEST_AMQP_URL")
    if external:
        return external
    node: RabbitNode = request.getfixturevalue("rabbit_node")
    return node.url


@pytest.fixture
def amqp_vhost_url(request: pytest.FixtureRequest, amqp_url: str) -> Iterator[str]:
    """URL of a fresh virtual host."""
    with fresh_vhost(request, amqp_url) as url:
        yield url


@contextmanager
def fresh_vhost(request: pytest.FixtureRequest, amqp_url: str) -> Iterator[str]:
    """Make a virtual host for the length of the block and give its URL.

    On an external server it is made through its management API, ATTUNE_TEST_RABBITMQ_API
    (``http://host:15672``).
    """
    name = f"test-{secrets.token_hex(4)}"
    if os.environ.get("ATTUNE_TEST_AMQP_URL"):
        base = os.environ.get("ATTUNE_TEST_RABBITMQ_API", "http://127.0.0.1:15672")
    else:
        node: RabbitNode = request.getfixturevalue("rabbit_node")
        base = f"http://127.0.0.1:{node.http_port}"
    manage(base, "PUT", f"/api/vhosts/{name}")
    parts = urllib.parse.urlsplit(amqp_url)
    try:
        yield urllib.parse.urlunsplit(parts._replace(path=f"/{name}"))
    finally:
        manage(base, "DELETE", f"/api/vhosts/{name}")
