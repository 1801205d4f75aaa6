"""A PostgreSQL server of the distribution, with TLS, on a free port: the embedded one has neither TLS nor a port."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services.availability import unavailable
from tests.services.ports import free_ports

PASSWORD = "only-for-this-test"


@dataclass(frozen=True)
class TlsServer:
    """A running server: it accepts TLS only, as user ``postgres`` with ``PASSWORD``, under the name ``localhost``."""

    port: int
    authority: Path
    stranger: Path

    def url(self, options: str, *, host: str = "localhost", user: str = "postgres:" + PASSWORD + "@") -> str:
        """Return a URL with libpq ``options``."""
        return f"postgresql://{user}{host}:{self.port}/postgres?{options}"


@pytest.fixture(scope="session")
def tls_server() -> Iterator[TlsServer]:
    """Run a server that only speaks TLS."""
    programs = _programs()
    directory = Path(tempfile.mkdtemp(prefix="attune-pg-tls-"))
    try:
        directory.chmod(0o755)
        authority, stranger = _write_certificates(directory)
        with _running(programs, directory) as port:
            yield TlsServer(port, authority, stranger)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _programs() -> Path:
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True):
        return found.parent
    on_path = shutil.which("postgres")
    if on_path is None:
        unavailable("PostgreSQL with TLS", "apt-get install postgresql")
    return Path(on_path).parent


@contextmanager
def _running(programs: Path, directory: Path) -> Iterator[int]:
    data = directory / "data"
    password = directory / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    data.mkdir(mode=0o700)
    _give_to_postgres(directory / "server.key", data)
    _run_as_postgres(
        [programs / "initdb", "--no-sync", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password]
    )
    (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n", encoding="utf-8")
    port = free_ports(1)[0]
    settings = {
        "listen_addresses": "localhost",
        "port": port,
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": directory / "server.crt",
        "ssl_key_file": directory / "server.key",
        "fsync": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd="/", **_as_postgres()
        )
    try:
        _wait_until_ready(server, port, directory / "log")
        yield port
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    url = f"postgresql://postgres:{PASSWORD}@localhost:{port}/postgres?sslmode=require"
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start:\n{log.read_text(encoding='utf-8')}", pytrace=False)
            time.sleep(0.05)
        else:
            return


def _as_postgres() -> dict[str, str]:
    """PostgreSQL refuses to run as root; the package brings a user for it."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


def _run_as_postgres(argv: Sequence[str | Path]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False, **_as_postgres())
    assert done.returncode == 0, done.stderr


def _give_to_postgres(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, "postgres", "postgres")


def _write_certificates(directory: Path) -> tuple[Path, Path]:
    """Write a server's certificate; return the files of the authority that signed it and of one that didn't."""
    authority_key, authority = _authority("authority of the tests")
    _, stranger = _authority("a stranger")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _certificate("localhost", key.public_key(), issuer=authority.subject)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = directory / "server.key"
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    written = []
    for name, content in (("server.crt", certificate), ("authority.crt", authority), ("stranger.crt", stranger)):
        path = directory / name
        path.write_bytes(content.public_bytes(serialization.Encoding.PEM))
        path.chmod(0o644)
        written.append(path)
    return written[1], written[2]


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _certificate(name, key.public_key(), issuer=None).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    return key, builder.sign(key, hashes.SHA256())


def _certificate(name: str, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name | None) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
