"""An uploaded archive holds plain files below one directory, or it is refused before it can do harm."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from agent.errors import PackError
from agent.packs.archive import Limits, unpacked

LIMITS = Limits(total=10_000, entries=20, entry=5_000)
MANIFEST = b"ref: sample\nversion: 1.0.0\n"


def archive(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as made:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content) if info.isfile() else 0
            made.addfile(info, io.BytesIO(content))
    packed.seek(0)
    return packed


def file(name: str, content: bytes = MANIFEST, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


@pytest.mark.parametrize("prefix", ["", "./", "sample/", "./sample/"])
def test_the_manifest_is_at_the_top_or_one_level_down(prefix: str, tmp_path: Path) -> None:
    with unpacked(archive(file(f"{prefix}pack.yaml"), file(f"{prefix}actions/a.sh", b"x", mode=0o755)), LIMITS) as root:
        assert (root / "pack.yaml").read_bytes() == MANIFEST
        assert (root / "actions/a.sh").stat().st_mode & 0o777 == 0o755
    assert not root.exists()


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (file("../evil", b"x"), "leads out"),
        (file("/etc/evil", b"x"), "leads out"),
        (file("a/../../evil", b"x"), "leads out"),
        (file("link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "link or a device"),
        (file("link", b"", type=tarfile.LNKTYPE, linkname="pack.yaml"), "link or a device"),
        (file("device", b"", type=tarfile.CHRTYPE), "link or a device"),
        (file("fifo", b"", type=tarfile.FIFOTYPE), "link or a device"),
        (file("large", b"x" * 5_001), "more than 5000 bytes"),
        (file("PACK.yaml", b"x"), "two entries"),
        (file("/".join("d" * 40), b"x"), "leads out"),
    ],
)
def test_what_could_do_harm_is_refused(member: tuple[tarfile.TarInfo, bytes], reason: str) -> None:
    with pytest.raises(PackError, match=reason), unpacked(archive(file("pack.yaml"), member), LIMITS):
        pass


def test_many_files_and_large_sums_are_refused() -> None:
    many = [file(f"f{n}", b"") for n in range(30)]
    with pytest.raises(PackError, match="more than 20 entries"), unpacked(archive(file("pack.yaml"), *many), LIMITS):
        pass
    large = [file(f"f{n}", b"x" * 4_000) for n in range(5)]
    with pytest.raises(PackError, match="larger than"), unpacked(archive(file("pack.yaml"), *large), LIMITS):
        pass


def test_a_bomb_is_stopped_at_its_limit() -> None:
    bomb = archive(file("pack.yaml"), file("zeros", b"\0" * 5_000_000))
    assert len(bomb.getvalue()) < 10_000
    with pytest.raises(PackError, match="more than 5000 bytes"), unpacked(bomb, LIMITS):
        pass


@pytest.mark.parametrize(
    "kind",
    [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK],
)
def test_a_header_that_would_fill_the_memory_is_refused_before_it_is_read(kind: bytes) -> None:
    """Three gigabytes of zeros are fourteen megabytes of gzip, and tarfile reads such a header whole."""
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 3 << 30
    packed = io.BytesIO(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)))
    with pytest.raises(PackError, match="a header of 3221225472 bytes"), unpacked(packed, LIMITS):
        pass


def test_endless_headers_and_sparse_files_are_refused() -> None:
    info = tarfile.TarInfo("name")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 512
    chain = io.BytesIO(gzip.compress((info.tobuf(tarfile.GNU_FORMAT) + b"n" * 512) * 3_000))
    with pytest.raises(PackError, match="more than 20 entries"), unpacked(chain, LIMITS):
        pass
    chain.seek(0)
    with pytest.raises(PackError, match="can't be read"), unpacked(chain, Limits(10_000, 10_000, 5_000)):
        pass
    old = tarfile.TarInfo("hole")
    old.type = tarfile.GNUTYPE_SPARSE
    with pytest.raises(PackError, match="sparse"), unpacked(archive((old, b"")), LIMITS):
        pass
    for version in ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, {"GNU.sparse.map": "0,1"},
                    {"GNU.sparse.size": "9"}):  # fmt: skip
        new = tarfile.TarInfo("hole")
        new.pax_headers = {**version, "GNU.sparse.name": "hole"}
        with pytest.raises(PackError, match="sparse"), unpacked(archive((new, b"9999999\n" * 100)), LIMITS):
            pass


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    for mode in ("w:xz", "w:bz2", "w"):
        with pytest.raises(PackError, match="can't be read"), unpacked(archive(file("pack.yaml"), mode=mode), LIMITS):
            pass


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"\x1f\x8b broken"])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(PackError, match=r"can't be read|no pack\.yaml"), unpacked(io.BytesIO(content), LIMITS):
        pass
