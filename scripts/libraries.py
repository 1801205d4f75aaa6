#!/usr/bin/env python3
"""Make the archives of ``packs/libraries`` from the sources beside them; needs javac. The same sources, the same bytes.

A wheel, a CPAN distribution, an R source package and a jar are how these languages hand libraries on.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent / "packs" / "libraries"
CPAN = "A/AT/ATTUNE/Attune-Slug-1.0.tar.gz"
#: The index of a mirror of CPAN.
INDEX = f"File: 02packages.details.txt\n\nAttune::Slug  1.0  {CPAN}\n"


def archives() -> dict[str, bytes]:
    """Return the content of each archive by its path in the pack."""
    sources = PACK / "sources"
    return {
        "wheels/attune_slug-1.0-py3-none-any.whl": wheel((sources / "python/attune_slug.py").read_bytes()),
        f"vendor/cache/authors/id/{CPAN}": tarball(below(sources / "perl", "Attune-Slug-1.0/")),
        "vendor/cache/modules/02packages.details.txt.gz": gzip.compress(INDEX.encode(), mtime=0),
        "renv/cellar/attuneslug_1.0.tar.gz": tarball(below(sources / "r")),
        "maven/invalid/example/slug/1.0/slug-1.0.jar": jar(sources / "java/slug/Slug.java"),
    }


def below(folder: Path, prefix: str = "") -> dict[str, bytes]:
    """Return the files below ``folder`` by their names in an archive."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {prefix + str(path.relative_to(folder)): path.read_bytes() for path in files}


def wheel(module: bytes) -> bytes:
    """Return a wheel as the binary distribution format says (PEP 427)."""
    info = "attune_slug-1.0.dist-info"
    files = {
        "attune_slug.py": module,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: attune-slug\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: attune\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items()]
    return zipped({**files, f"{info}/RECORD": "".join([*lines, f"{info}/RECORD,,\n"]).encode()})


def jar(source: Path) -> bytes:
    """Return a jar for Java 11 and later."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["javac", "--release", "11", "-g:none", "-d", folder, str(source)], check=True)
        return zipped({"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\n\n", **below(Path(folder))})


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive without times."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


def tarball(files: Mapping[str, bytes]) -> bytes:
    """Return a compressed tar archive without times and owners."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def main() -> None:
    """Write them."""
    for name, data in archives().items():
        path = PACK / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        sys.stdout.write(f"{name}: {len(data)} bytes\n")


if __name__ == "__main__":
    main()
