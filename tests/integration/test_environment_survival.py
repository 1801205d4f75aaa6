"""An environment is built, used and lost, in every language: no half of one is used, and no use of one is cut off."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.environments.marker import MARKER
from agent.errors import EnvironmentFailed
from tests.integration.environment_site import Site
from tests.integration.language_bench import LANGUAGES, Bench
from tests.services.availability import unavailable
from tests.services.waiting import until

every_language = pytest.mark.parametrize(
    "bench", [pytest.param(name, marks=pytest.mark.language(name)) for name in LANGUAGES], indirect=True
)


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> StoppingBench:
    return StoppingBench(LANGUAGES[request.param], Site(tmp_path))


class StoppingBench(Bench):
    """Its recipe waits for ever when everything is installed and nothing is declared complete, if it is told to."""

    @property
    def stop(self) -> Path:
        """The file that tells it; it becomes ``stopped``, with the process that waits, when that has come."""
        return self.site.root / "stop"

    @property
    def stopped(self) -> Path:
        return self.site.root / "stopped"

    def config(self) -> dict[str, Any]:
        config = super().config()
        wait = 'if [ -e "$1" ]; then echo $$ > "$1"; mv "$1" "$2"; exec sleep 600; fi'
        config["environment"]["check_command"] = ["sh", "-c", wait, "sh", str(self.stop), str(self.stopped)]
        return config


def build(language: str, root: str) -> None:
    """Build at a site that another process has made."""
    site = Site(Path(root, "builder"))
    bench = StoppingBench(LANGUAGES[language], site)
    site.root, site.packs, site.envs = Path(root), Path(root, "packs"), Path(root, "runtime_envs")
    bench.ensure("one")


def start_build(bench: Bench) -> subprocess.Popen[bytes]:
    """Build in a process group of its own."""
    call = f"from {__name__} import build; build({bench.language.name!r}, {str(bench.site.root)!r})"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", call], env=env, start_new_session=True)


@every_language
def test_what_a_killed_builder_left_is_used_by_nobody_and_built_again(bench: StoppingBench) -> None:
    bench.pack("one", "1.0")
    bench.stop.touch()
    with start_build(bench) as builder:
        try:
            until(lambda: bench.stopped.exists() or builder.poll() is not None, "an installation")
            assert builder.poll() is None, "it ended without an installation"
        finally:
            if builder.poll() is None:
                os.killpg(builder.pid, signal.SIGKILL)
    os.killpg(int(bench.stopped.read_text()), signal.SIGKILL)
    [half] = (bench.site.envs / "one").glob(f".{bench.language.name}.*-*")
    manager, request = bench.manager("one"), bench.request("one")
    assert manager.current(request) is None
    prepared = manager.ensure(request)
    assert prepared.env_dir != half
    assert not half.exists()
    assert bench.run("one", prepared) == "hello from 1.0"


class Volume:
    """The environments as a volume that can be made read-only, for root too."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def remount(self, way: str) -> None:
        """``way`` is ``ro`` or ``rw``."""
        subprocess.run(["mount", "-o", f"remount,bind,{way}", self._place], check=True)


@pytest.fixture
def volume(bench: Bench) -> Iterator[Volume]:
    if os.geteuid() != 0:
        unavailable("a read-only volume", "run as root")
    place = bench.site.envs
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", place, place], check=True)
    yield Volume(place)
    subprocess.run(["umount", "--lazy", place], check=True)


@every_language
def test_a_read_only_volume_is_named_and_what_lies_on_it_still_runs(bench: Bench, volume: Volume) -> None:
    pack = bench.pack("one", "1.0")
    manager, request = bench.manager("one"), bench.request("one")
    volume.remount("ro")
    with pytest.raises(EnvironmentFailed, match="Read-only file system") as caught:
        manager.ensure(request)
    assert caught.value.step == "prepare directory"
    assert f"{bench.site.envs}/one" in str(caught.value)
    assert "ATTUNE__RUNTIME_ENVS_DIR" in (caught.value.hint or "")
    volume.remount("rw")
    built = manager.ensure(request)
    volume.remount("ro")
    prepared = bench.ensure("one")
    assert prepared.env_dir == built.env_dir
    assert bench.run("one", prepared) == "hello from 1.0"
    change_manifest(bench, pack)
    with pytest.raises(EnvironmentFailed, match="not writable") as caught:
        manager.ensure(request)
    assert caught.value.step == "prepare directory"
    assert f"{bench.site.envs}/one" in str(caught.value)


def change_manifest(bench: Bench, pack: Path) -> None:
    """Change only how it is written."""
    known = bench.request(pack.name).dependencies
    assert known is not None
    with (pack / known.manifest_file).open("a") as manifest:
        manifest.write("\n")


def empty(folder: Path) -> None:
    """Leave the folder itself, where an action may be at work."""
    for entry in [*folder.iterdir()] if folder.is_dir() else []:
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


#: Actions that say "ready" and load their dependency after they were given a line.
WAITING = {
    "python": "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    "import attune_greeting\nprint(attune_greeting.TEXT)\n",
    "node": "const fs = require('fs');\nfs.writeSync(1, 'ready\\n');\nfs.readSync(0, Buffer.alloc(1));\n"
    "require('tool').say(require('hello').hi);\n",
    "ruby": "puts 'ready'\nSTDOUT.flush\nSTDIN.gets\nrequire 'greeting'\nputs Greeting::TEXT\n",
    "go": 'package main\n\nimport (\n\t"fmt"\n\n\t"example.invalid/greeting"\n)\n\n'
    'func main() {\n\tfmt.Println("ready")\n\tfmt.Scanln()\n\tfmt.Println(greeting.Text)\n}\n',
    "java": "public class Greet { public static void main(String[] a) throws Exception {"
    ' System.out.println("ready"); System.in.read();'
    " System.out.println(greeting.Greeting.TEXT + own.Own.SIGN); } }\n",
    "perl": '$| = 1; print "ready\\n"; <STDIN>; require Attune::Greeting; print "$Attune::Greeting::TEXT\\n";\n',
    "r": "cat('ready\\n'); line <- readLines(file('stdin'), 1); cat(greeting::text(), '\\n', sep = '')\n",
    "php": "<?php echo 'ready', PHP_EOL; fgets(STDIN); require 'greeting.php'; echo TEXT, PHP_EOL;\n",
}


@every_language
def test_a_changed_manifest_is_built_while_an_action_goes_on_with_what_it_began_with(bench: Bench) -> None:
    pack = bench.pack("one", "1.0")
    action = pack / "actions" / bench.language.action
    action.write_text(WAITING[bench.language.name])
    manager, request = bench.manager("one"), bench.request("one")
    old = manager.ensure(request)
    with bench.start("one", old) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        for folder in (pack, bench.site.packs / "one-repo"):
            empty(folder)
        change_manifest(bench, bench.pack("one", "2.0"))
        new = manager.ensure(request)
        assert bench.end(running, "\n") == "hello from 1.0"
    assert new.env_dir != old.env_dir
    assert old.env_dir is not None
    assert (old.env_dir / MARKER).exists()
    assert bench.run("one", new) == "hello from 2.0"


def another_interpreter(bench: Bench, folder: str) -> Path:
    """Install the language's interpreter at another place."""
    real = shutil.which(bench.language.interpreter)
    path = bench.site.root / folder / "bin" / Path(bench.language.interpreter).name
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\nexec "{real}" "$@"\n')
    path.chmod(0o755)
    return path


# Only Python's environments hold an interpreter of their own; those of the other languages were made by the machine's
# and for it, so there another one takes its place, as after an upgrade.
@every_language
def test_an_environment_whose_interpreter_vanished_is_built_again_once(bench: Bench) -> None:
    bench.pack("one", "1.0")
    manager = bench.manager("one")
    machine = another_interpreter(bench, "first")
    bench.interpreter = str(machine)
    first = manager.ensure(bench.request("one"))
    if bench.language.name == "python":
        Path(first.interpreter).unlink()
    else:
        machine.unlink()
        bench.interpreter = str(another_interpreter(bench, "second"))
    second = manager.ensure(bench.request("one"))
    assert second.env_dir != first.env_dir
    assert bench.run("one", second) == "hello from 1.0"
    assert bench.ensure("one") == second, "another worker takes the new one"
