"""A private Docker engine, and base images made of Debian's packages: nothing is pulled."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import pytest

import docker
from tests.services.availability import everything_is_installed, unavailable
from tests.services.frozen import ROOT
from tests.services.roots import CACHE, archive, make_ahead
from tests.services.waiting import PATIENCE, until

#: Docker 19.03 and newer.
API_VERSION = "1.40"
#: Where slirp4netns answers questions for names.
NAME_SERVER = "10.0.2.3"
#: Makes the kernel end a process when the test run dies, even by SIGKILL.
_BOUND = ("setpriv", "--pdeathsig", "TERM")


@dataclass(frozen=True)
class Engine:
    """A running engine: ``url`` for commands, ``client`` for tests."""

    url: str
    client: docker.DockerClient

    def command(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Debian's docker client (another one may come first on PATH) against this engine."""
        program = "/usr/bin/docker" if os.access("/usr/bin/docker", os.X_OK) else "docker"
        environment = os.environ | {"DOCKER_HOST": self.url, "DOCKER_BUILDKIT": "1", "DOCKER": program} | variables
        words = (program, *words) if not words[0].startswith("/") else words
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """The engine of ``ATTUNE_TEST_DOCKER_HOST``, else one of our own: it needs root, and ends with the tests."""
    given = os.environ.get("ATTUNE_TEST_DOCKER_HOST")
    if given is not None:
        with contextlib.closing(docker.DockerClient(base_url=given, timeout=120, version=API_VERSION)) as client:
            yield Engine(given, client)
        return
    program = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None or os.geteuid() != 0:
        unavailable("a Docker engine", "install docker.io and run as root, or set ATTUNE_TEST_DOCKER_HOST")
    if absent := [name for name in ("slirp4netns", "unshare", "setpriv") if shutil.which(name) is None]:
        unavailable("a network of the Docker engine's own", f"install {', '.join(absent)}")
    with _started(str(program)) as engine:
        yield engine


@contextlib.contextmanager
def _started(program: str) -> Iterator[Engine]:
    # The path of a Unix socket is limited to 107 bytes, so it can't lie in a deep temporary directory.
    place = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    url = f"unix://{place}/docker.sock"
    command = [program, "--data-root", str(place / "data"), "--exec-root", str(place / "exec"), "--host", url]
    command += ["--pidfile", str(place / "pid"), "--bridge=none", "--iptables=false", "--ip6tables=false"]
    try:
        with contextlib.ExitStack() as stack:
            log = stack.enter_context((place / "log").open("wb"))
            process = stack.enter_context(_in_own_network(command, place, log))
            client = stack.enter_context(contextlib.closing(_connect(url, process, place / "log")))
            yield Engine(url, client)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _in_own_network(command: list[str], place: Path, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the engine in a network namespace of its own, which reaches out through a process of an ordinary user.

    In the machine's network the packets of its bridges would go through the machine's packet filter, which drops them
    where another Docker engine runs. Its mounts are its own too, so they end with it.
    """
    (place / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
    own_names = f'mount --bind {place}/resolv.conf "$(readlink -f /etc/resolv.conf)" && exec "$@"'
    unshared = ["unshare", "--net", "--mount", "--propagation=slave", "sh", "-c", own_names, "sh", *command]
    with _ending([*_BOUND, *unshared], log) as engine:
        until(lambda: engine.poll() is not None or _network(engine.pid) != _network(os.getpid()))
        with _ending(
            [*_BOUND, "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", str(engine.pid), "tap0"],
            log,
        ):
            yield engine


@contextlib.contextmanager
def _ending(command: list[str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for the length of the block."""
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _network(pid: int) -> str:
    """Return what names the network namespace of a process."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return _network(os.getpid())  # it has ended


def _connect(url: str, process: subprocess.Popen[bytes], log: Path) -> docker.DockerClient:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        # The SDK forgets to close a socket that can't be connected, so ask without it first.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(url.removeprefix("unix://"))
            return docker.DockerClient(base_url=url, timeout=120, version=API_VERSION)
        time.sleep(0.05)
    return unavailable("a Docker engine", f"dockerd does not start: {log.read_text()[-500:]}")


class BaseImage(Protocol):
    """Return the name of a base image, made when it is asked for: a key of ``RECIPES``, with or without /tmp."""

    def __call__(self, name: str, *, tmp: bool = True) -> str: ...


@pytest.fixture(scope="session")
def base_image(docker_engine: Engine) -> BaseImage:
    """Base images by name."""
    if everything_is_installed():
        make_ahead()
    made: dict[tuple[str, bool], str] = {}
    lock = threading.Lock()

    def image(name: str, *, tmp: bool = True) -> str:
        with lock:
            if (name, tmp) not in made:
                made[name, tmp] = _import(docker_engine, archive(name), f"attune-test-{name}", tmp=tmp)
        return made[name, tmp]

    return image


@pytest.fixture(scope="session")
def built_image(docker_engine: Engine, base_image: BaseImage) -> Callable[[str], str]:
    """Return the name of the image of a target of ``docker/Dockerfile.agent``, built on stand-in base images."""
    made: dict[str, str] = {}

    def image(target: str) -> str:
        if target not in made:
            authorities = "/etc/ssl/certs/ca-certificates.crt"
            done = docker_engine.command(
                str(ROOT / "docker" / "build.sh"),
                target,
                f"attune-test-{target}:latest",
                BUILDER_IMAGE=base_image("debian"),
                OPERATOR_IMAGE=base_image("debian"),
                INIT_IMAGE=base_image("busybox"),
                BUILD_NETWORK="host",
                **({"BUILD_CA": authorities} if os.path.exists(authorities) else {}),
            )
            assert done.returncode == 0, done.stderr[-3000:]
            made[target] = f"attune-test-{target}:latest"
        return made[target]

    return image


def _import(engine: Engine, root: Path, name: str, *, tmp: bool) -> str:
    tag = f"{name}:{'latest' if tmp else 'without-tmp'}"
    if tmp:
        server = root.stem in ("postgres", "rabbitmq")
        entry = ("--change", 'ENTRYPOINT ["/entrypoint"]') if server else ()
        done = engine.command("import", *entry, str(root), tag)
        assert done.returncode == 0, done.stderr
        return tag
    with tempfile.NamedTemporaryFile(suffix=".tar", dir=CACHE) as copy:
        shutil.copyfile(root, copy.name)
        subprocess.run(["tar", "--delete", "-f", copy.name, "./tmp"], check=True)
        done = engine.command("import", copy.name, tag)
        assert done.returncode == 0, done.stderr
    return tag


def put(container: docker.models.containers.Container, path: str, content: bytes, mode: int = 0o644) -> None:
    """Write one file into a container."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(content), mode
        tar.addfile(entry, io.BytesIO(content))
    container.put_archive("/", archive.getvalue())
