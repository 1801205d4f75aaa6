"""Root directories for base images, made of Debian's packages and kept as tar files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.services.availability import unavailable
from tests.services.frozen import ROOT

#: Root directories that take a minute to make are kept for the next run.
CACHE = ROOT / "var" / "images"


def archive(name: str) -> Path:
    """Return the tar file of a root directory, a key of ``RECIPES``; made when it is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    made = CACHE / f"{name}.tar"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            with tempfile.TemporaryDirectory(prefix="root-", dir=CACHE) as directory, _in_memory(directory):
                root = Path(directory) / "root"
                root.mkdir()
                root.chmod(0o755)
                RECIPES[name](root)
                subprocess.run(["tar", "-C", root, "-cf", f"{made}.new", "."], check=True)
                os.replace(f"{made}.new", made)
    return made


@contextlib.contextmanager
def _in_memory(directory: str) -> Iterator[None]:
    """Put a file system into ``directory`` where dpkg's many synchronisations cost nothing, if that is allowed."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=3g,mode=0755", "root", directory]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "-l", directory], check=True)


def make_ahead() -> None:
    """Make all that take long in the background, two at a time, in the order in which they are asked for."""
    names = iter(["ruby", "node", "debian", "debian-oldest", "postgres", "rabbitmq", "debian-newest"])
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                name = next(names, None)
            if name is None:
                return
            # Whoever needs it tries again and learns the reason.
            with contextlib.suppress(Exception, pytest.fail.Exception, pytest.skip.Exception):
                archive(name)

    for number in (1, 2):
        threading.Thread(target=work, name=f"roots-{number}", daemon=True).start()


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


def debian_mirror() -> str:
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
        mirror = debian_mirror()
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
