"""The launcher gets words and variables that nobody would give it: it answers or starts, and stays in its own memory.

It is compiled from its own sources, with the compiler's checks of every access to memory, around a small tree whose
"loader" tells what it was given.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.services.availability import unavailable
from tests.services.frozen import ROOT, build_module

#: Exit codes that are documented, and the one with which the loader says that it was reached.
ANSWERS, STARTED, DAMAGE = {0, 1, 2, 120, 122, 123}, 42, 99
CHECKS = (
    "-g",
    "-O1",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-static-libasan",
    "-static-libubsan",
)
LOADER = """
#include <stdio.h>
#include <string.h>
extern char **environ;
int main(int argc, char **argv) {
    for (int i = 0; i < argc; i++) fwrite(argv[i], 1, strlen(argv[i]) + 1, stdout);
    putchar(1), putchar(0);
    for (char **one = environ; *one; one++) fwrite(*one, 1, strlen(*one) + 1, stdout);
    return 42;
}
"""


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The launcher with checks, around a small tree."""
    if shutil.which("gcc") is None:
        unavailable("a C compiler", "install gcc and libzstd-dev")
    work = tmp_path_factory.mktemp("launcher")
    pack = build_module("pack")
    tree = work / "tree"
    (tree / "libc").mkdir(parents=True)
    loader = tree / "libc" / pack.LOADERS[platform.machine()]
    (work / "loader.c").write_text(LOADER)
    subprocess.run(["gcc", "-static", "-o", loader, work / "loader.c"], check=True)
    for name in ("attune-agent", "cacert.pem", "CONTENTS"):
        (tree / name).write_text(name)
    files = [pack.describe(tree, path) for path in pack.in_order(tree)]
    (work / "payload.zst").write_bytes(pack.compress(tree, files, 1))
    (work / "contents.c").write_text(pack.contents_source(tree, files, "1.2.3"))
    sources = [*sorted((ROOT / "build" / "launcher").glob("*.c")), ROOT / "build/launcher/payload.S", "contents.c"]
    options = ["-std=gnu11", "-D_GNU_SOURCE", f"-I{ROOT / 'build/launcher'}", '-DPAYLOAD="payload.zst"']
    script = f"-Wl,-T,{ROOT / 'build/launcher/payload.ld'}"
    done = subprocess.run(
        ["gcc", *CHECKS, *options, script, "-o", "attune-agent", *sources, "-lzstd"],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        unavailable("a compiler that checks accesses to memory", f"gcc says: {done.stderr[-300:]}")
    return work / "attune-agent"


@dataclass(frozen=True)
class Ended:
    """What became of a start; ``given`` and ``variables`` are what the loader got."""

    code: int
    stderr: str
    given: list[bytes]
    variables: dict[bytes, bytes]


def start(launcher: Path, directory: Path, words: Sequence[bytes], variables: Mapping[bytes, bytes]) -> Ended:
    """Start it in ``directory``, where everything lies that it may write to."""
    program = directory / "bin" / "attune-agent"
    program.parent.mkdir(exist_ok=True)
    if not program.exists():
        os.link(launcher, program)
    environment = dict(variables) | {b"ASAN_OPTIONS": b"detect_leaks=0:exitcode=99"}
    done = subprocess.run(
        [program, *words], cwd=directory, env=environment, capture_output=True, timeout=60, check=False
    )
    arguments, _, rest = done.stdout.partition(b"\1\0")
    pairs = dict(entry.partition(b"=")[::2] for entry in rest.split(b"\0") if entry)
    return Ended(done.returncode, done.stderr.decode("utf-8", "replace"), arguments.split(b"\0")[:-1], pairs)


raw = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"?"))
long = st.builds(
    lambda piece, count: piece * count, st.sampled_from([b"a", b"a/", b"../", b"%n", b"\xff"]), st.integers(1, 30_000)
)
COMMANDS = [b"install", b"health", b"--version", b"-V", b"--verify", b"--live", b"--timeout", b"--timeout", b"--", b"-"]
ODD = [b"", b"0", b"1", b"-1", b"1x", b"3601", b"99999999999999999999", b"%s%n", b"inside", b"inside/deeper"]
words = st.sampled_from(COMMANDS + ODD)
numbers = st.integers(-(2**70), 2**70).map(lambda number: str(number).encode())
#: Nothing here leads out of the directory of the test; what is too long leads nowhere.
relative = st.one_of(
    words,
    numbers,
    long.filter(lambda text: b".." not in text),
    raw.filter(lambda text: b"/" not in text and b".." not in text),
)
#: Where the launcher looks for places, and what it takes away from the frozen program.
LOOKED_AT = [b"ATTUNE_LAUNCHER_DIR", b"XDG_CACHE_HOME", b"HOME", b"TMPDIR", b"XDG_RUNTIME_DIR"]
TAKEN = [
    b"LD_BIND_NOW",
    b"LC_ALL",
    b"_PYI_ARCHIVE_FILE",
    b"_PYI_X",
    b"PYINSTALLER_Y",
    b"MALLOC_ARENA_MAX",
    b"OPENSSL_CONF",
]
names = st.sampled_from(
    [*LOOKED_AT, *TAKEN, b"ATTUNE_LAUNCHER_SELF", b"ATTUNE_LAUNCHER_ENV_LD_X", b"SSL_CERT_FILE", b"PATH"]
)
environments = st.dictionaries(names | st.sampled_from([b"A", b"LD", b"LC_ALLX", b"\xff"]), relative, max_size=6)
thorough = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@thorough
@example(arguments=[b"install", b"a" * 5000], environment={})
@example(arguments=[b"install", b"a/" * 2100], environment={})
@example(arguments=[b"health", b"--timeout"], environment={})
@given(arguments=st.lists(relative, max_size=4), environment=environments)
def test_it_answers_or_starts_with_what_it_was_given(
    launcher: Path, tmp_path: Path, arguments: list[bytes], environment: dict[bytes, bytes]
) -> None:
    ended = start(launcher, tmp_path, arguments, environment)
    assert ended.code != DAMAGE, ended.stderr
    assert ended.code in ANSWERS | {STARTED}, ended
    if ended.code != STARTED:
        assert ended.stderr.count("\n") <= 1 + ended.stderr.count("does not use"), ended.stderr
        return
    assert ended.given[5:] == arguments
    own = {name: value for name, value in environment.items() if not name.startswith(b"ATTUNE_LAUNCHER_")}
    for name, value in own.items():
        kept = b"ATTUNE_LAUNCHER_ENV_" + name if name in TAKEN else name
        assert ended.variables[kept] == value
    assert b"ATTUNE_LAUNCHER_ENV_LD_X" not in ended.variables  # of an outer launcher
    assert ended.variables[b"ATTUNE_LAUNCHER_SELF"] == os.fsencode(tmp_path / "bin" / "attune-agent")


@thorough
@given(
    variables=st.dictionaries(
        st.sampled_from(LOOKED_AT), st.one_of(relative, long, st.sampled_from([b"/", b"//", b"/.", b"/nowhere/at/all"]))
    )
)
def test_wherever_it_is_sent_it_starts_or_says_why_not(
    launcher: Path, tmp_path: Path, variables: dict[bytes, bytes]
) -> None:
    ended = start(launcher, tmp_path, [b"--detect-only"], variables)
    assert ended.code != DAMAGE, ended.stderr
    assert ended.code in {2, 120, STARTED}, ended
