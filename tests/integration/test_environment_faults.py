"""Faults while an environment is built, in every language: a clear failure, nothing left, and the next try succeeds."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.errors import EnvironmentFailed
from agent.settings import NetworkSettings
from tests.integration import language_packs as packs
from tests.integration.environment_site import Site, needs
from tests.integration.language_bench import LANGUAGES, UNREACHABLE, Bench
from tests.services.availability import unavailable


def language(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.language(name))


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(LANGUAGES[request.param], Site(tmp_path))


@pytest.fixture
def small_volume(bench: Bench) -> Iterator[Path]:
    """The environments on a disk of 48 KiB; what installers share lies elsewhere."""
    if os.geteuid() != 0:
        unavailable("a volume of the test's own", "run as root")
    (bench.site.root / "cache").mkdir()
    if bench.language.name == "go":
        (bench.site.envs / ".cache").rename(bench.site.root / "cache/kept")
    bench.site.envs.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", bench.site.envs], check=True)
    kept = bench.site.root / "cache/kept"
    (bench.site.envs / ".cache").symlink_to(kept if kept.exists() else kept.parent)
    yield bench.site.envs
    subprocess.run(["umount", "--lazy", bench.site.envs], check=True)


#: Their environments are a few small files.
SMALL = ("go", "perl", "php")


def nothing_is_left(bench: Bench) -> bool:
    """Whether no directory of a build is there."""
    return not list((bench.site.envs / "one").glob(f".{bench.language.name}.*-*"))


@pytest.mark.parametrize("bench", [language(name) for name in LANGUAGES], indirect=True)
def test_a_full_disk_fails_the_build_which_succeeds_when_there_is_room(bench: Bench, small_volume: Path) -> None:
    bench.pack("one", "1.0")
    ballast = small_volume / "ballast"
    ballast.write_bytes(bytes((44 if bench.language.name in SMALL else 28) * 1024))
    with pytest.raises(EnvironmentFailed) as caught:
        bench.ensure("one")
    assert "one/" in str(caught.value) and caught.value.step, str(caught.value)
    assert nothing_is_left(bench)
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=100m", small_volume], check=True)
    assert bench.run("one", bench.ensure("one")) == "hello from 1.0"


@pytest.fixture(scope="module")
def nowhere() -> Iterator[str]:
    """An address where nobody listens, and nobody will."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{kept.getsockname()[1]}"


@pytest.mark.parametrize("bench", [language(name) for name in UNREACHABLE], indirect=True)
def test_an_index_that_can_not_be_reached_is_named(bench: Bench, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.site.root / "wgetrc").write_text("tries = 1\n")  # cpanm lets wget try twenty times
    monkeypatch.setenv("WGETRC", str(bench.site.root / "wgetrc"))
    for name in ("PIP_RETRIES", "npm_config_fetch_retries", "BUNDLE_RETRY"):
        monkeypatch.setenv(name, "0")
    setting, files = UNREACHABLE[bench.language.name]
    packs.write(bench.site.packs / "one", files)
    with pytest.raises(EnvironmentFailed) as caught:
        bench.ensure("one", **{setting: nowhere})
    assert caught.value.step == "install dependencies"
    said = str(caught.value).lower().replace("::", "-")
    assert nowhere.removeprefix("http://") in said or "nosuch-thing" in said or "renv" in said, said
    assert nothing_is_left(bench)


@pytest.mark.language("go")
def test_a_go_action_runs_uncompiled_from_a_read_only_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        unavailable("a read-only volume", "run as root")
    bench = Bench(LANGUAGES["go"], Site(tmp_path))
    (bench.site.envs / ".cache/go-build").unlink()
    bench.pack("one", "1.0")
    bench.ensure("one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    subprocess.run(["mount", "--bind", bench.site.envs, bench.site.envs], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", bench.site.envs], check=True)
        prepared = bench.ensure("one")
        assert "GOCACHE" not in prepared.env_vars
        assert bench.run("one", prepared) == "hello from 1.0"
    finally:
        subprocess.run(["umount", "--lazy", bench.site.envs], check=True)
    assert not (bench.site.envs / "one/.go.compiled").exists()


def programs_without(folder: Path, *missing: str) -> str:
    """Return a PATH with everything but some programs."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for entry in Path(place).glob("*"):
            link = folder / entry.name
            if entry.name not in missing and not link.is_symlink() and os.access(entry, os.X_OK):
                link.symlink_to(entry)
    return str(folder)


def compiled_perl(pack: Path) -> None:
    """A pack whose module has a part in C."""
    packs.perl_pack(pack, "1.0")
    name = "Attune-Greeting-1.0"
    files = {
        "Makefile.PL": "use ExtUtils::MakeMaker;\nWriteMakefile(NAME => 'Attune::Greeting', VERSION => '1.0');\n",
        "Greeting.xs": '#include "EXTERN.h"\n#include "perl.h"\n#include "XSUB.h"\n'
        "MODULE = Attune::Greeting  PACKAGE = Attune::Greeting\nint\none()\n  CODE:\n    RETVAL = 1;\n"
        "  OUTPUT:\n    RETVAL\n",
        "lib/Attune/Greeting.pm": "package Attune::Greeting; require XSLoader; our $VERSION = '1.0'; 1;\n",
        "MANIFEST": "Makefile.PL\nGreeting.xs\nlib/Attune/Greeting.pm\n",
    }
    packs.tarball(pack / f"mirror/authors/id/A/AT/ATTUNE/{name}.tar.gz", name, files)


def compiled_r(pack: Path) -> None:
    """A pack whose package has a part in C."""
    packs.r_pack(pack, "1.0")
    files = {
        "greeting/DESCRIPTION": "Package: greeting\nVersion: 1.0\nTitle: G\nDescription: G.\nLicense: CC0\nAuthor: A\n"
        "Maintainer: A <a@example.invalid>\n",
        "greeting/NAMESPACE": "useDynLib(greeting)\n",
        "greeting/src/one.c": "int one(void) { return 1; }\n",
    }
    packs.tarball(pack / "renv/cellar/greeting_1.0.tar.gz", "", files)


@pytest.mark.parametrize("bench", [language("perl"), language("r")], indirect=True)
def test_a_machine_without_compiler_is_told_what_to_install(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("gcc")
    make = {"perl": compiled_perl, "r": compiled_r}[bench.language.name]
    make(bench.site.packs / "one")
    before = os.environ["PATH"]
    compilers = [name for name in os.listdir("/usr/bin") if "gcc" in name or "g++" in name]
    monkeypatch.setenv("PATH", programs_without(bench.site.root / "bin", "cc", "c++", "make", "gmake", *compilers))
    bench.interpreter = str(bench.site.root / "bin" / bench.language.interpreter)
    with pytest.raises(EnvironmentFailed, match="apt-get install build-essential") as caught:
        bench.ensure("one")
    assert caught.value.step in ("install dependencies", "check what was installed")
    monkeypatch.setenv("PATH", before)


#: Manifests are programs in some languages, and installers wait for somebody who answers.
HANGING: Mapping[str, Mapping[str, str]] = {
    "ruby": {"Gemfile": "STDERR.puts 'waiting for ever'; STDERR.flush; sleep 600\n"},
    "perl": {"cpanfile": "print STDERR qq(waiting for ever\\n); sleep 600;\n"},
    "python": {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": "import time\nprint('waiting for ever', flush=True)\ntime.sleep(600)\n",
    },
    "node": {
        "package.json": '{"scripts": {"postinstall": "echo waiting for ever && sleep 600"}}',
    },
}


@pytest.mark.parametrize("bench", [language(name) for name in HANGING], indirect=True)
def test_a_manifest_that_hangs_is_ended_at_the_time_limit(bench: Bench) -> None:
    packs.write(bench.site.packs / "one", HANGING[bench.language.name])
    manager = bench.site.new_manager(install_timeout=1.5)
    with pytest.raises(EnvironmentFailed, match=r"did not end within 1\.5 s") as caught:
        manager.ensure(bench.request("one"))
    assert caught.value.step == "install dependencies"
    assert nothing_is_left(bench)


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as kept:
        yield f"http://127.0.0.1:{kept.getsockname()[1]}"


@pytest.mark.parametrize("bench", [language(name) for name in UNREACHABLE], indirect=True)
def test_an_index_that_never_answers_is_given_up_at_the_time_limit(bench: Bench, silent: str) -> None:
    setting, files = UNREACHABLE[bench.language.name]
    packs.write(bench.site.packs / "one", files)
    manager = bench.site.new_manager(install_timeout=5, network=NetworkSettings(**{setting: silent}))
    with pytest.raises(EnvironmentFailed, match=r"did not end within 5 s") as caught:
        manager.ensure(bench.request("one"))
    assert caught.value.step == "install dependencies"
    assert nothing_is_left(bench)
