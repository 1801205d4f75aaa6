"""Freeze the agent: PyInstaller's directory, stripped, with a private C library, ready to be packed.

    python build/freeze.py TREE

fills TREE. Run it with the interpreter that shall be frozen, in an environment that holds nothing but the agent's
dependencies and the group ``build`` of ``pyproject.toml``.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import contents

BUILD = Path(__file__).resolve().parent

LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}

#: The C library's own files, and libgcc_s, which it loads by name when a thread ends itself.
LIBC = (
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libgcc_s.so.1",
)


def main(tree: Path) -> None:
    """Fill ``tree``."""
    work = tree.parent / "pyinstaller"
    for old in (tree, work):
        shutil.rmtree(old, ignore_errors=True)
    freeze(work)
    copy_files(work / "dist" / "attune-agent", tree)
    shrink_base_library(tree / "_internal" / "base_library.zip")
    copy_libc(tree / "libc")
    copy_authorities(tree / "cacert.pem")
    copy_zones(tree / "_internal" / "agent" / "data" / "zones.zip")
    strip(tree)


def freeze(work: Path) -> None:
    """Run PyInstaller. Nothing in the result may depend on the time, the place or the order of a hash table."""
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "WARN"]
    command += ["--workpath", str(work / "work"), "--distpath", str(work / "dist"), str(BUILD / "agent.spec")]
    environment = os.environ | {
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": "946684800",
        "PYTHONDONTWRITEBYTECODE": "1",
        # The whole is packed once, and better; at run time nothing but the import itself has to be paid for.
        "PYINSTALLER_ZLIB_COMPRESSION_LEVEL": "0",
        "PYINSTALLER_CONFIG_DIR": str(work / "config"),
    }
    subprocess.run(command, check=True, env=environment, cwd=BUILD.parent)


def copy_files(source: Path, tree: Path) -> None:
    """Copy regular files only: PyInstaller's links repeat libraries that are found by their users' run paths."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink():
            target = tree / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def shrink_base_library(path: Path) -> None:
    """Keep what Python needs before the frozen modules can be imported; the others are in the program's own archive."""
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in sorted(old.namelist())}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name, code in files.items():
            module = name.removesuffix(".pyc").removesuffix("/__init__").replace("/", ".")
            if contents.needed_before_importer(module):
                new.writestr(zipfile.ZipInfo(name), code)


def copy_libc(directory: Path) -> None:
    """Copy the loader and the C library that this interpreter runs with.

    The loader must keep its short name: the boot loader knows by it how it was started.
    """
    directory.mkdir()
    libraries = Path("/lib") / sysconfig.get_config_var("MULTIARCH")
    for name in (LOADERS[platform.machine()], *LIBC):
        shutil.copyfile((libraries / name).resolve(strict=True), directory / name)


def copy_authorities(target: Path) -> None:
    """Copy the certificate authorities for containers that have none."""
    import certifi

    shutil.copyfile(certifi.where(), target)


def copy_zones(target: Path) -> None:
    """Copy the time zones, as one file: the launcher looks at each file of the tree whenever the agent starts."""
    import tzdata

    source = Path(tzdata.__file__).parent / "zoneinfo"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(source.rglob("*")):
            if path.is_file() and path.read_bytes()[:4] == b"TZif":
                archive.writestr(zipfile.ZipInfo(path.relative_to(source).as_posix()), path.read_bytes())


def strip(tree: Path) -> None:
    """Remove symbols that nobody needs at run time.

    The program itself ends in its archive, and the libraries of psycopg_binary were edited in a way that strip breaks.
    """
    for path in sorted(tree.rglob("*")):
        if not path.is_file() or path == tree / "attune-agent" or "psycopg_binary.libs" in path.parts:
            continue
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
