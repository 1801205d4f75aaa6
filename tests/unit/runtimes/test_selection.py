"""Which version an execution gets."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.errors import DatabaseError, InvalidExecution, UnmetConstraint
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.local import localize
from agent.runtimes.machine import Machine
from agent.runtimes.model import RuntimeVersion
from agent.runtimes.names import environment_name, normalize_runtime_name
from agent.runtimes.registry import UsableRuntime
from agent.runtimes.selection import VersionSelector
from agent.runtimes.verification import VersionCheck
from tests.children.interpreters import prints, write_program
from tests.services.waiting import calls
from tests.unit.runtimes.rows import commands, runtime, version


class Bench:
    """A machine with Pythons in a directory of its own, and a clock that is set by hand."""

    def __init__(self, directory: Path, base: str | None = None) -> None:
        self.directory = directory
        self.now = 1000.0
        self.recorded: list[Sequence[VersionCheck]] = []
        detected = []
        if base is not None:
            path = write_program(directory, "python3", prints(f"Python {base}"))
            detected.append(DetectedInterpreter("python", str(path), base))
        self.machine = Machine.of(detected, env={"PATH": str(directory)})
        self.selector = VersionSelector(
            self.machine, reverify_after=600, record=self.recorded.append, clock=lambda: self.now
        )

    def install(self, short: str, full: str) -> Path:
        body = f"echo {short} >> {self.directory}/asked\n" + prints(f"Python {full}")
        return write_program(self.directory, f"python{short}", body)

    def usable(self, *rows: RuntimeVersion, name: str = "Python", binary: str = "py3") -> UsableRuntime:
        row = runtime(f"core.{name.lower()}", name, binary)
        canonical = normalize_runtime_name(name)
        detected = self.machine.detected.get(canonical)
        local = localize(row.config, name=canonical, detected=detected, find=self.machine.find)
        return UsableRuntime(row, canonical, rows, local)

    @property
    def asked(self) -> list[str]:
        path = self.directory / "asked"
        return path.read_text().split() if path.exists() else []


def python(short: str, **more: object) -> RuntimeVersion:
    check = {
        "binary": f"python{short}",
        "args": ["--version"],
        "pattern": rf"Python {short.replace('.', chr(92) + '.')}\.",
    }
    return version(short, f"python{short}", distributions=commands(check), **more)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bin", base="3.11.2")


ROWS = (python("3.13"), python("3.12", is_default=True), python("3.11"))


def test_the_highest_version_that_meets_the_constraint_is_chosen(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    own = bench.install("3.13", "3.13.1")
    selected = bench.selector.select(bench.usable(*ROWS), ">=3.12")
    assert (selected.version, selected.actual, selected.env_name) == ("3.13", "3.13.1", "python-3.13")
    assert selected.interpreter == selected.config.interpreter.binary == str(own)
    assert bench.selector.select(bench.usable(*ROWS), "~3.12").env_name == "python-3.12"


def test_without_a_constraint_the_default_is_chosen(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    bench.install("3.13", "3.13.1")
    assert bench.selector.select(bench.usable(*ROWS)).version == "3.12"
    assert bench.selector.select(bench.usable(*ROWS), "  ").version == "3.12"


def test_a_default_that_this_machine_lacks_gives_way(bench: Bench) -> None:
    bench.install("3.13", "3.13.1")
    assert bench.selector.select(bench.usable(*ROWS)).version == "3.13"


def test_the_detected_interpreter_stands_in_for_the_version_it_is(bench: Bench) -> None:
    selected = bench.selector.select(bench.usable(*ROWS), "3.11")
    assert (selected.version, selected.actual) == ("3.11", "3.11.2")
    assert selected.interpreter == str(bench.directory / "python3")


def test_without_rows_the_base_configuration_is_run(bench: Bench) -> None:
    selected = bench.selector.select(bench.usable())
    assert (selected.version, selected.version_id, selected.env_name) == (None, None, "python")
    assert selected.interpreter == str(bench.directory / "python3")
    assert selected.actual == "3.11.2"


def test_the_base_interpreter_meets_a_constraint_with_its_own_version(bench: Bench) -> None:
    selected = bench.selector.select(bench.usable(python("3.13")), ">=3.11,<3.12")
    assert (selected.version, selected.env_name, selected.actual) == (None, "python", "3.11.2")


def test_an_unmet_constraint_says_what_was_found_and_where_it_was_looked_for(bench: Bench) -> None:
    own = bench.install("3.12", "3.12.13")
    with pytest.raises(UnmetConstraint) as caught:
        bench.selector.select(bench.usable(*ROWS), ">=4")
    text = str(caught.value)
    for part in ("'>=4'", "Python", f"3.12.13 ({own})", "3.11.2", "3.13 (python3.13 --version: not found on PATH)"):
        assert part in text
    assert not bench.recorded or len(bench.recorded) == 1


def test_a_constraint_on_a_runtime_without_any_version_is_unmet(bench: Bench) -> None:
    with pytest.raises(UnmetConstraint, match=r"meets '>=1'; found: none"):
        bench.selector.select(bench.usable(name="Native", binary=""), ">=1")


def test_a_malformed_constraint_is_an_unmet_one_that_points_at_the_character(bench: Bench) -> None:
    with pytest.raises(UnmetConstraint, match="at character 1"):
        bench.selector.select(bench.usable(*ROWS), "=>3.12")


def test_a_machine_without_the_interpreter_says_so(tmp_path: Path) -> None:
    empty = Bench(tmp_path)
    with pytest.raises(InvalidExecution, match=r"no interpreter for Ruby .*ruby-9 isn't here"):
        empty.selector.select(empty.usable(name="Ruby", binary="ruby-9"))


def test_an_interpreter_that_was_installed_meanwhile_is_found(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    usable = bench.usable(name="Ruby", binary="ruby-9")
    with pytest.raises(InvalidExecution):
        bench.selector.select(usable)
    ruby = write_program(tmp_path, "ruby-9", "exit 0")
    assert bench.selector.select(usable).interpreter == str(ruby)


@pytest.mark.parametrize(
    ("constraint", "met"),
    [
        (">=3.12.3,<3.13", True),
        (">3.12", True),
        ("=3.12", True),
        ("<=3.12,>=3.12", True),
        ("<3.12.5,>=3.12", False),
        ("=3.12.0", False),
        ("=3.12.13", True),
    ],
)
def test_a_row_answers_with_its_interpreters_real_version(bench: Bench, constraint: str, met: bool) -> None:
    bench.install("3.12", "3.12.13")
    usable = bench.usable(python("3.12"))
    if met:
        assert bench.selector.select(usable, constraint).version == "3.12"
    else:
        with pytest.raises(UnmetConstraint):
            bench.selector.select(usable, constraint)


def test_versions_are_verified_once_for_all_constraints_and_told(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    usable = bench.usable(*ROWS)
    for constraint in (None, ">=3.12", "3.12", ">=3.12"):
        bench.selector.select(usable, constraint)
    assert bench.asked == ["3.12"]
    (checks,) = bench.recorded
    assert {check.row.version: check.available for check in checks} == {
        "3.13": False,
        "3.12": True,
        "3.11": True,
    }


def test_checks_are_trusted_for_the_configured_time(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    usable = bench.usable(*ROWS)
    bench.selector.select(usable, "3.12")
    bench.now += 599
    bench.selector.select(usable, "3.12")
    assert bench.asked == ["3.12"]
    bench.now += 2
    bench.selector.select(usable, "3.12")
    assert bench.asked == ["3.12", "3.12"]


def test_versions_are_verified_again_when_the_chosen_interpreter_has_vanished(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    newest = bench.install("3.13", "3.13.1")
    usable = bench.usable(*ROWS)
    assert bench.selector.select(usable, ">=3.12").version == "3.13"
    newest.unlink()
    assert bench.selector.select(usable, ">=3.12").version == "3.12"


def test_before_an_execution_is_failed_old_checks_are_looked_at_again(bench: Bench) -> None:
    usable = bench.usable(*ROWS)
    with pytest.raises(UnmetConstraint):
        bench.selector.select(usable, ">=3.12")
    bench.install("3.12", "3.12.13")
    with pytest.raises(UnmetConstraint):
        bench.selector.select(usable, ">=3.12")
    bench.now += 31
    assert bench.selector.select(usable, ">=3.12").version == "3.12"


def test_rows_that_only_agents_wrote_into_are_not_verified_again(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    bench.selector.select(bench.usable(python("3.12", id_=7)), "3.12")
    bench.selector.select(bench.usable(python("3.12", id_=7, available=True)), "3.12")
    assert bench.asked == ["3.12"]
    bench.selector.select(bench.usable(python("3.12", id_=7), python("3.13")), "3.12")
    assert bench.asked == ["3.12", "3.12"]


def test_all_can_be_verified_ahead_of_need(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    usable = bench.usable(*ROWS)
    checks = bench.selector.verify([usable])
    assert len(checks) == 3
    assert [check.row.version for check in checks if check.available] == ["3.12", "3.11"]
    bench.selector.select(usable, "3.12")
    assert bench.asked == ["3.12"]


def test_executions_that_come_together_verify_once(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    usable = bench.usable(*ROWS)
    chosen = []
    threads = [
        threading.Thread(target=lambda: chosen.append(bench.selector.select(usable, "3.12").version)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert chosen == ["3.12"] * 8
    assert bench.asked == ["3.12"]


def test_a_database_that_is_away_fails_no_execution(tmp_path: Path) -> None:
    def refuse(_: Sequence[VersionCheck]) -> None:
        raise DatabaseError("away")

    bench = Bench(tmp_path)
    bench.install("3.12", "3.12.13")
    assert VersionSelector(bench.machine, record=refuse).select(bench.usable(*ROWS), "3.12").version == "3.12"


def test_a_warm_selection_looks_at_none_of_200_versions(bench: Bench) -> None:
    rows = tuple(python(f"3.{minor}", id_=minor + 1) for minor in range(200))
    bench.install("3.150", "3.150.1")
    usable = bench.usable(*rows)
    assert bench.selector.select(usable, ">=3.12").version == "3.150"
    assert calls(lambda: bench.selector.select(usable, ">=3.12")) < 100


@pytest.mark.parametrize(
    ("name", "version_", "expected"),
    [
        ("Python", None, "python"),
        ("Node.js", "20", "node-20"),
        ("R", "4.2", "r-4.2"),
        ("My Tool", "1.0", "my_tool-1.0"),
        ("../../etc", None, "_._.._etc"),
        (".", "..", "_-.."),
        ("a", "1/../../b", "a-1_.._.._b"),
    ],
)
def test_an_environment_is_one_directory_with_a_harmless_name(name: str, version_: str | None, expected: str) -> None:
    made = environment_name(name, version_)
    assert "/" not in made and made not in (".", "..")
    assert made == expected


def test_what_an_agent_merely_found_decides_for_nobody_without_a_constraint(bench: Bench) -> None:
    found = python("3.13", auto_detected=True)
    bench.install("3.13", "3.13.1")
    assert bench.selector.select(bench.usable(found)).env_name == "python"
    assert bench.selector.select(bench.usable(found), ">=3.12").env_name == "python-3.13"


def test_a_version_that_an_operator_switched_off_is_not_run(bench: Bench) -> None:
    bench.install("3.12", "3.12.13")
    bench.install("3.13", "3.13.1")
    rows = (python("3.13", disabled=True), python("3.12"))
    assert bench.selector.select(bench.usable(*rows), ">=3.12").version == "3.12"
    with pytest.raises(UnmetConstraint, match="an operator switched it off"):
        bench.selector.select(bench.usable(*rows), ">=3.13")


def test_a_row_of_java_is_found_by_the_old_and_the_new_name_of_its_version(tmp_path: Path) -> None:
    machine = Machine.of([DetectedInterpreter("java", "/bin/sh", "1.8.0_392")], env={"PATH": str(tmp_path)})
    usable = UsableRuntime(runtime("core.java", "Java", "java"), "java", (version("8", "java", ref="core.java"),), None)
    for constraint in ("8", "1.8", "<11"):
        assert VersionSelector(machine).select(usable, constraint).version == "8"
    with pytest.raises(UnmetConstraint, match=r"1\.8\.0_392"):
        VersionSelector(machine).select(usable, ">=11")


def test_a_failed_check_is_not_overridden_by_the_version_of_what_was_detected(bench: Bench) -> None:
    broken = write_program(bench.directory, "python3.11", "exit 3")
    with pytest.raises(UnmetConstraint, match="exit code 3"):
        bench.selector.select(bench.usable(python("3.11"), name="Python", binary="nosuch"), "3.11")
    broken.unlink()
    assert VersionSelector(bench.machine).select(bench.usable(python("3.11")), "3.11").version == "3.11"
