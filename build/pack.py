"""Pack a frozen tree and the launcher into one executable file.

    python build/pack.py TREE PROGRAM

The tree's files, one after the other, are compressed into the payload; their names, sizes and digests are compiled into
the launcher; the linker puts both into PROGRAM.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import zstandard
from freeze import LOADERS

BUILD = Path(__file__).resolve().parent
LAUNCHER = BUILD / "launcher"

LEVEL = 19
#: 2**23 bytes: what a first start needs in memory for unpacking, beyond 1 MB.
WINDOW_LOG = 23

COMPILER = ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-static", "-s", "-Wall", "-Wextra", "-Wno-format-truncation"]
COMPILER += ["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-Wl,--build-id=none"]


@dataclass(frozen=True)
class PackedFile:
    """One file of the tree; ``digest`` is BLAKE2b-256."""

    path: str
    size: int
    digest: bytes

    @property
    def line(self) -> str:
        """The file's line in the tree's list of contents."""
        return f"{self.digest.hex()} {self.size} {self.path}\n"


def main(tree: Path, program: Path, *, version: str, level: int = LEVEL) -> None:
    """Write ``program`` and its checksum; ``level`` of zstd."""
    (tree / "CONTENTS").unlink(missing_ok=True)
    files = [describe(tree, path) for path in in_order(tree)]
    contents = "".join(file.line for file in files)
    (tree / "CONTENTS").write_text(contents)
    files.append(describe(tree, tree / "CONTENTS"))
    with tempfile.TemporaryDirectory(prefix="pack-") as directory:
        work = Path(directory)
        (work / "payload.zst").write_bytes(compress(tree, files, level))
        (work / "contents.c").write_text(contents_source(tree, files, version))
        link(work, program)
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    program.with_name(program.name + ".sha256").write_text(f"{digest}  {program.name}\n")
    print(f"{program}: {program.stat().st_size / 1e6:.2f} MB from {sum(file.size for file in files) / 1e6:.2f} MB")


def in_order(tree: Path) -> list[Path]:
    """Return the files so that similar ones are neighbours: the compressor looks back only so far."""
    paths = [path for path in tree.rglob("*") if path.is_file()]
    return sorted(paths, key=lambda path: (".so" not in path.name, path.suffix, path.relative_to(tree).as_posix()))


def describe(tree: Path, path: Path) -> PackedFile:
    """Measure one file."""
    content = path.read_bytes()
    return PackedFile(
        path.relative_to(tree).as_posix(), len(content), hashlib.blake2b(content, digest_size=32).digest()
    )


def agent_version() -> str:
    """Return the version of the agent in the source tree that was frozen."""
    text = (BUILD.parent / "agent" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "([0-9A-Za-z.+-]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("agent/__init__.py holds no version")
    return found[1]


def compress(tree: Path, files: list[PackedFile], level: int) -> bytes:
    """Compress the contents of all files as one stream."""
    parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=WINDOW_LOG, write_checksum=True)
    whole = b"".join((tree / file.path).read_bytes() for file in files)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(whole)


def contents_source(tree: Path, files: list[PackedFile], version: str) -> str:
    """Return the C source that tells the launcher what the payload holds."""
    digest = hashlib.blake2b("".join(file.line for file in files).encode(), digest_size=6).hexdigest()
    directories = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_dir())
    entries = "".join(
        f'    {{"{file.path}", {file.size}, {{{", ".join(map(str, file.digest))}}}}},\n' for file in files
    )
    names = "".join(f'    "{name}",\n' for name in directories)
    return (
        '#include "launcher.h"\n'
        f"const struct file tree_files[] = {{\n{entries}}};\n"
        f"const size_t tree_file_count = {len(files)};\n"
        f"const char *const tree_directories[] = {{\n{names}}};\n"
        f"const size_t tree_directory_count = {len(directories)};\n"
        f"const uint64_t tree_size = {sum(file.size for file in files)};\n"
        f'const char tree_version[] = "{version}";\n'
        f'const char tree_name[] = ".attune-agent-{version}-{digest}";\n'
        f'const char tree_loader[] = "libc/{LOADERS[platform.machine()]}";\n'
    )


def link(work: Path, program: Path) -> None:
    """Compile the launcher around the payload; the program appears complete or not at all."""
    sources = [str(path) for path in sorted(LAUNCHER.glob("*.c"))] + [str(LAUNCHER / "payload.S"), "contents.c"]
    output = work / "program"
    command = [*COMPILER, f"-I{LAUNCHER}", '-DPAYLOAD="payload.zst"', f"-Wl,-T,{LAUNCHER / 'payload.ld'}"]
    subprocess.run([*command, "-o", str(output), *sources, "-lzstd"], check=True, cwd=work)
    output.chmod(0o555)
    program.parent.mkdir(parents=True, exist_ok=True)
    temporary = program.with_name(f".{program.name}.new")
    temporary.unlink(missing_ok=True)
    shutil.copy2(output, temporary)
    temporary.rename(program)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), version=agent_version())
