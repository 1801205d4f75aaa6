"""Actions that are compiled once: their compiler is a small shell script here, the real ones are in other tests."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.environments import compiled_output
from agent.environments.compiled import CompiledActions
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from tests.integration.environment_site import Site
from tests.integration.language_packs import write

#: The "compiled" program says what its source said when it was compiled, and each compilation is noted.
COMPILER = 'echo once >> {log}; {{ echo "#!/bin/sh"; cat "$2" "$3"/lib/*.part; }} > "$1/program"; chmod +x "$1/program"'


class Workshop:
    """A pack with one action in a language that is compiled."""

    def __init__(self, site: Site, compiler: str = COMPILER) -> None:
        self.site = site
        self.log = site.root / "compilations"
        write(site.packs / "one", {"actions/a.src": "echo one\n", "lib/b.part": "# part\n", "README": "x\n"})
        self.action = str(site.packs / "one/actions/a.src")
        words = ["sh", "-c", compiler.replace("{log}", str(self.log)).replace("{{", "{").replace("}}", "}"), "sh"]
        self.config = {
            "interpreter": {"binary": "/bin/sh", "file_extension": ".src"},
            "compile": {
                "command": [*words, "{output}", "{action_file}", "{pack_dir}"],
                "run": ["{output}/program"],
                "sources": [".src", ".part"],
            },
        }
        self.actions = self.another_agent()

    def another_agent(self, **changes: Any) -> CompiledActions:
        """Return what shares nothing but the disk."""
        return CompiledActions(self.site.envs, **({"timeout": 30.0, "container": dict(os.environ)} | changes))

    def request(self) -> EnvironmentRequest:
        return self.site.request("one", self.config, dir_name="src", interpreter="/bin/sh")

    def command(self, actions: CompiledActions | None = None) -> tuple[str, ...] | None:
        prepared = PreparedEnvironment(None, None, "/bin/sh", {})
        return (actions or self.actions).command(self.request(), prepared, self.action)

    def says(self, actions: CompiledActions | None = None) -> str:
        command = self.command(actions)
        assert command is not None, "it was not compiled"
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @property
    def compilations(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(Site(tmp_path))


def test_it_is_compiled_once_for_all_agents_of_a_volume(workshop: Workshop) -> None:
    assert [workshop.says(), workshop.says(), workshop.says(workshop.another_agent())] == ["one"] * 3
    assert workshop.compilations == 1


def test_threads_and_agents_that_want_it_at_once_compile_it_once(workshop: Workshop) -> None:
    agents = [workshop.another_agent() for _ in range(2)]
    said: list[str] = []
    threads = [threading.Thread(target=lambda i=i: said.append(workshop.says(agents[i % 2]))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert said == ["one"] * 8
    assert workshop.compilations == 1


@pytest.mark.parametrize(("name", "again"), [("actions/a.src", True), ("lib/b.part", True), ("README", False)])
def test_a_source_that_changes_is_compiled_again_and_nothing_else_is(
    workshop: Workshop, name: str, again: bool
) -> None:
    assert workshop.says() == "one"
    write(workshop.site.packs / "one", {name: "echo two\n"})
    assert ("two" in workshop.says()) is again
    assert workshop.compilations == (2 if again else 1)


def test_a_source_that_is_written_again_as_it_was_needs_no_compiler(workshop: Workshop) -> None:
    workshop.says()
    path = Path(workshop.action)
    path.write_text(path.read_text())
    os.utime(path, ns=(1, 1))
    assert workshop.says() == "one"
    assert workshop.compilations == 1


@pytest.mark.parametrize(
    "compiler", ["echo once >> {log}; echo no luck >&2; exit 1", "echo once >> {log}; exec nosuchcompiler"]
)
def test_what_can_not_be_compiled_is_run_as_it_is_and_tried_again_when_it_changes(
    tmp_path: Path, compiler: str
) -> None:
    workshop = Workshop(Site(tmp_path), compiler)
    assert workshop.command() is None
    assert workshop.command() is None
    assert workshop.compilations == 1, "the same sources would fail again"
    write(workshop.site.packs / "one", {"actions/a.src": "echo other\n"})
    assert workshop.command() is None
    assert workshop.compilations == 2
    assert [path.name for path in (workshop.site.envs / "one/.src.compiled").iterdir()] == ["lock"]


def test_a_compiler_that_hangs_is_ended_at_its_time_limit(tmp_path: Path) -> None:
    workshop = Workshop(Site(tmp_path), "exec sleep 600")
    assert workshop.command(workshop.another_agent(timeout=0.5)) is None


def test_where_nothing_can_be_written_it_is_run_as_it_is(workshop: Workshop) -> None:
    (workshop.site.envs / "one").mkdir(parents=True)
    (workshop.site.envs / "one/.src.compiled").write_text("in the way\n")
    assert workshop.command() is None


def test_what_a_killed_compiler_left_is_not_used(workshop: Workshop) -> None:
    command = workshop.command()
    assert command is not None
    finished = Path(command[0]).parent
    half = finished.with_name(f"{finished.name}.abc123.tmp")
    finished.rename(half)
    (half / "program").write_text("#!/bin/sh\necho half\n")
    assert workshop.says(workshop.another_agent()) == "one"
    assert workshop.compilations == 2


def test_what_one_agent_goes_on_using_is_not_removed_by_another_that_compiles(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.environments.compiled.TOUCH_EVERY", -1.0)  # hours pass
    command = workshop.command()
    assert command is not None
    mark = Path(command[0]).parent / ".attune_compiled"
    long_ago = mark.stat().st_mtime - 30 * 86400
    os.utime(mark, (long_ago, long_ago))
    assert workshop.command() == command
    write(workshop.site.packs / "one", {"actions/a.src": "echo two\n"})
    assert workshop.says(workshop.another_agent()) == "two"
    assert Path(command[0]).exists(), "it may run right now"
    os.utime(mark, (long_ago, long_ago))
    write(workshop.site.packs / "one", {"actions/a.src": "echo three\n"})
    assert workshop.says(workshop.another_agent()) == "three"
    assert not mark.parent.exists(), "nobody has run it for a month"


def test_a_removal_that_dies_half_way_leaves_nothing_to_run(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = workshop.command()
    assert command is not None

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compiled_output, "remove_tree", killed)
        with pytest.raises(KeyboardInterrupt):
            compiled_output.remove(Path(command[0]).parent)
    Path(command[0]).unlink()
    assert workshop.says(workshop.another_agent()) == "one"


def test_a_compilation_is_told_to_who_waits(workshop: Workshop) -> None:
    told: list[str] = []
    request = workshop.site.request("one", workshop.config, dir_name="src", interpreter="/bin/sh", progress=told.append)
    prepared = PreparedEnvironment(None, None, "/bin/sh", {})
    for _ in range(2):
        workshop.actions.command(request, prepared, workshop.action)
    assert [line.split(" in ")[0] for line in told] == ["compiling a.src", "compiled a.src"]
