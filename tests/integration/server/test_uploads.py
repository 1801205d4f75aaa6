"""Uploads that are small and mean to be large: refused with a sentence, and neither memory nor disk filled."""

from __future__ import annotations

import gzip
import itertools
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.server.conftest import Site

pytestmark = pytest.mark.postgres

GIB = 1 << 30
MANIFEST = b"ref: bomb\nlabel: Bomb\nversion: 1.0.0\n"


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info.tobuf(tarfile.GNU_FORMAT)


def manifest() -> bytes:
    return header("pack.yaml", len(MANIFEST)) + MANIFEST.ljust(512, b"\0")


def packed(pieces: Iterator[bytes]) -> bytes:
    """One gzip stream of an archive that would not fit into memory."""
    squeeze = zlib.compressobj(1, wbits=31)
    return b"".join((*map(squeeze.compress, pieces), squeeze.flush()))


def zeros(size: int) -> Iterator[bytes]:
    yield from itertools.repeat(bytes(1 << 20), size >> 20)


def strung(start: bytes, size: int) -> bytes:
    """The same for content that is never looked at: one piece of gzip after another."""
    piece = 64 << 20
    return gzip.compress(start) + gzip.compress(bytes(piece), 1) * (size // piece)


def ten_gigabytes() -> bytes:
    return strung(manifest() + header("zeros", 10 * GIB), 10 * GIB)


def many_large_files() -> bytes:
    one = 32 << 20
    return packed(itertools.chain((manifest(),), *(((header(f"f{n}", one)), *zeros(one)) for n in range(10))))


def a_million_files() -> bytes:
    """The first tell how it goes on: their names are made, the others' are not."""
    named = b"".join(header(f"f{n}", 0) for n in range(11_000))
    return packed(itertools.chain((manifest(), named), itertools.repeat(header("more", 0) * 1000, 989)))


def a_header_of_gigabytes() -> bytes:
    return strung(manifest() + header("x", 3 * GIB, tarfile.XHDTYPE), 3 * GIB)


def a_link() -> bytes:
    return gzip.compress(manifest() + header("actions", 0, tarfile.SYMTYPE, "/etc"))


def a_device() -> bytes:
    return gzip.compress(manifest() + header("null", 0, tarfile.CHRTYPE))


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (ten_gigabytes, "zeros has more than"),
        (many_large_files, "larger than they may be together"),
        (a_million_files, "more than 10000 entries"),
        (a_header_of_gigabytes, "a header of"),
        (a_link, "is a link or a device"),
        (a_device, "is a link or a device"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bomb_is_refused_and_the_server_stays_small(site: Site, bomb: Any, reason: str) -> None:
    content = bomb()
    before = resident_peak(site)
    answer = site.admin.request("POST", "/api/v1/packs/upload", files={"pack": ("p.tgz", content)}, timeout=120)
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    assert resident_peak(site) - before < 100 << 20
    assert not (site.deployment.packs / "bomb").exists()


def test_an_upload_that_is_larger_than_it_may_be_is_cut_off(site: Site) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="pack"; filename="p.tgz"\r\n\r\n'
        for _ in range(10_000):
            yield bytes(1 << 20)

    before = resident_peak(site)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = site.admin.request("POST", "/api/v1/packs/upload", content=endless(), headers=headers, timeout=120)
    assert answer.status_code == 413
    assert "larger than" in answer.text
    assert resident_peak(site) - before < 100 << 20


def resident_peak(site: Site) -> int:
    """Bytes that the server had resident at most (VmHWM, proc(5))."""
    with open(f"/proc/{site.server.process.pid}/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
