"""A private Docker engine, and base images made of Debian's packages: nothing is pulled."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

import docker
from tests.services.availability import unavailable
from tests.services.frozen import ROOT

#: Root directories that take a minute to make are kept for the next run.
CACHE = ROOT / "var" / "images"
START_TIMEOUT = 30.0
#: Docker 19.03 and newer.
API_VERSION = "1.40"


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
    with _started(str(program)) as engine:
        yield engine


@contextlib.contextmanager
def _started(program: str) -> Iterator[Engine]:
    # The path of a Unix socket is limited to 107 bytes, so it can't lie in a deep temporary directory.
    place = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    url = f"unix://{place}/docker.sock"
    command = [program, "--data-root", str(place / "data"), "--exec-root", str(place / "exec"), "--host", url]
    command += ["--pidfile", str(place / "pid"), "--bridge=none", "--iptables=false", "--ip6tables=false"]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        with contextlib.closing(_connect(url, process, place / "log")) as client:
            yield Engine(url, client)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for line in Path("/proc/mounts").read_text().splitlines():
            if f" {place}" in line:
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        shutil.rmtree(place, ignore_errors=True)


def _connect(url: str, process: subprocess.Popen[bytes], log: Path) -> docker.DockerClient:
    deadline = time.monotonic() + START_TIMEOUT
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
    made: dict[tuple[str, bool], str] = {}
    lock = threading.Lock()

    def image(name: str, *, tmp: bool = True) -> str:
        with lock:
            if (name, tmp) not in made:
                made[name, tmp] = _import(docker_engine, _archive(name), f"attune-test-{name}", tmp=tmp)
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


def _archive(name: str) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"{name}.tar"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            with tempfile.TemporaryDirectory(prefix="root-", dir=CACHE) as directory:
                root = Path(directory) / "root"
                root.mkdir()
                root.chmod(0o755)
                RECIPES[name](root)
                subprocess.run(["tar", "-C", root, "-cf", f"{archive}.new", "."], check=True)
                os.replace(f"{archive}.new", archive)
    return archive


def _import(engine: Engine, archive: Path, name: str, *, tmp: bool) -> str:
    tag = f"{name}:{'latest' if tmp else 'without-tmp'}"
    if tmp:
        server = archive.stem in ("postgres", "rabbitmq")
        entry = ("--change", 'ENTRYPOINT ["/entrypoint"]') if server else ()
        done = engine.command("import", *entry, str(archive), tag)
        assert done.returncode == 0, done.stderr
        return tag
    with tempfile.NamedTemporaryFile(suffix=".tar", dir=CACHE) as copy:
        shutil.copyfile(archive, copy.name)
        subprocess.run(["tar", "--delete", "-f", copy.name, "./tmp"], check=True)
        done = engine.command("import", copy.name, tag)
        assert done.returncode == 0, done.stderr
    return tag


def _nothing(root: Path) -> None:
    """An empty root, as in an image FROM scratch."""
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)


def _busybox(root: Path) -> None:
    """Busybox with all its applets, statically linked, and no C library."""
    _nothing(root)
    (root / "bin").mkdir()
    shutil.copyfile("/usr/bin/busybox", root / "bin" / "busybox")
    (root / "bin" / "busybox").chmod(0o755)
    for applet in subprocess.check_output(["busybox", "--list"], text=True).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")


def _musl(root: Path) -> None:
    """Busybox beside the C library of Alpine, and no glibc."""
    _busybox(root)
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["apt-get", "download", "-q", "musl"], cwd=directory, check=True, capture_output=True)
        (package,) = Path(directory).glob("musl_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    shutil.rmtree(root / "usr" / "share", ignore_errors=True)


def _mirror() -> str:
    """The mirror that this machine's apt uses, or the one of ``ATTUNE_TEST_DEBIAN_MIRROR``."""
    named = os.environ.get("ATTUNE_TEST_DEBIAN_MIRROR")
    if named is not None:
        return named
    listing = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    found = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
    mirrors = [uri.rstrip("/") for uri in found if "security" not in uri]
    return mirrors[0] if mirrors else unavailable("a mirror of Debian", "name one in ATTUNE_TEST_DEBIAN_MIRROR")


def _debian(*releases: str, packages: Sequence[str] = ()) -> Callable[[Path], None]:
    """The first of these releases that the mirror has, made by debootstrap."""

    def make(root: Path) -> None:
        mirror = _mirror()
        for release in releases:
            scripts = Path("/usr/share/debootstrap/scripts")
            script = scripts / (release if (scripts / release).exists() else "sid")
            include = [f"--include={','.join(packages)}"] if packages else []
            command = ["debootstrap", "--variant=minbase", *include, release, str(root), mirror, str(script)]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                shutil.rmtree(root / "var" / "cache" / "apt")
                return
            shutil.rmtree(root)
            root.mkdir()
        unavailable(f"Debian {releases[0]}", f"the mirror {mirror} has none of {', '.join(releases)}")

    return make


_POSTGRES = """#!/bin/sh
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
    chown postgres $data
    echo "$POSTGRES_PASSWORD" >/tmp/password
    chmod 0644 /tmp/password
    setpriv --reuid postgres --regid postgres --clear-groups initdb -D $data -U "$POSTGRES_USER" --pwfile /tmp/password -A scram-sha-256 -E UTF8
    echo "host all all all scram-sha-256" >>$data/pg_hba.conf
    echo "create database $POSTGRES_DB" | setpriv --reuid postgres --regid postgres --clear-groups postgres --single -D $data postgres
fi
mkdir -p /var/run/postgresql && chown postgres /var/run/postgresql
exec setpriv --reuid postgres --regid postgres --clear-groups postgres -D $data -c listen_addresses='*'
"""  # noqa: E501 - a shell script

_RABBITMQ = """#!/bin/sh
set -eu
cat >/etc/rabbitmq/rabbitmq.conf <<END
default_user = $RABBITMQ_DEFAULT_USER
default_pass = $RABBITMQ_DEFAULT_PASS
END
chown -R rabbitmq /var/lib/rabbitmq
exec rabbitmq-server
"""


def _server(recipe: Callable[[Path], None], script: str, *programs: str) -> Callable[[Path], None]:
    """A Debian root with a server that is configured like its official image; ``programs`` are put on PATH."""

    def make(root: Path) -> None:
        recipe(root)
        (root / "entrypoint").write_text(script)
        (root / "entrypoint").chmod(0o755)
        for pattern in programs:
            (program,) = root.glob(pattern)
            (root / "usr/local/bin" / program.name).symlink_to("/" + str(program.relative_to(root)))

    return make


RECIPES: dict[str, Callable[[Path], None]] = {
    "empty": _nothing,
    "busybox": _busybox,
    "musl": _musl,
    "debian-oldest": _debian("buster", "bullseye", "bookworm"),
    "debian": _debian("bookworm", packages=("ca-certificates", "python3", "python3-venv")),
    "debian-newest": _debian("duke", "forky", "trixie"),
    "ruby": _debian("bookworm", packages=("ruby",)),
    "node": _debian("bookworm", packages=("nodejs",)),
    "postgres": _server(
        _debian("bookworm", packages=("postgresql",)), _POSTGRES, "usr/lib/postgresql/*/bin/pg_isready"
    ),
    "rabbitmq": _server(_debian("bookworm", packages=("rabbitmq-server",)), _RABBITMQ),
}


def put(container: docker.models.containers.Container, path: str, content: bytes, mode: int = 0o644) -> None:
    """Write one file into a container."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(content), mode
        tar.addfile(entry, io.BytesIO(content))
    container.put_archive("/", archive.getvalue())
