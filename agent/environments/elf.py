"""Which architecture and C library a program was built for, read from its ELF header; nothing is run.

The agent brings a C library of its own, so ``platform.libc_ver`` would tell about the agent, not about the machine.
Source: elf(5).
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent.reading.regular_files import open_regular

_ARCHITECTURES = {3: "i386", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
_PT_INTERP = 3
_GLIBC_RELEASE = re.compile(rb"GNU C Library [^\n]{0,120}?release version (\d+\.\d+)")


@dataclass(frozen=True)
class BinaryFormat:
    """For example ``BinaryFormat("x86_64", "glibc-2.36")``."""

    architecture: str
    libc: str


def binary_format(program: str) -> BinaryFormat:
    """Describe ``program``; a script or a static program has no loader to tell, so ``/bin/sh`` answers for it."""
    for candidate in (program, "/bin/sh"):
        try:
            with os.fdopen(open_regular(candidate), "rb") as file:
                found = _read(file)
        except (OSError, struct.error):
            continue
        if found is not None:
            return found
    return BinaryFormat(os.uname().machine, "unknown")


def _read(file: BinaryIO) -> BinaryFormat | None:
    header = file.read(64)
    if header[:4] != b"\x7fELF":
        return None
    wide, order = header[4] == 2, "<" if header[5] == 1 else ">"
    (number,) = struct.unpack_from(order + "H", header, 18)
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), header, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", header, 54 if wide else 42)
    for index in range(count):
        file.seek(table + index * size)
        entry = file.read(size)
        if struct.unpack_from(order + "I", entry, 0)[0] == _PT_INTERP:
            word = order + ("Q" if wide else "I")
            (offset,) = struct.unpack_from(word, entry, 8 if wide else 4)
            (length,) = struct.unpack_from(word, entry, 32 if wide else 16)
            file.seek(offset)
            loader = os.fsdecode(file.read(length).rstrip(b"\0"))
            return BinaryFormat(_ARCHITECTURES.get(number, f"elf-{number}"), _libc(loader))
    return None


def _libc(loader: str) -> str:
    if "musl" in loader:
        return "musl"
    library = Path(os.path.realpath(loader)).parent / "libc.so.6"
    try:
        with (
            os.fdopen(open_regular(library), "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            match = _GLIBC_RELEASE.search(data)
            return f"glibc-{match[1].decode()}" if match else "glibc"
    except (OSError, ValueError):
        return "glibc"
