"""Deciding which runtimes and versions this machine has."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from agent.runtimes.checks import RUNTIME_PRIORITY, VERSION_PRIORITY, Check, read_verification
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.machine import Machine
from agent.runtimes.verification import RuntimeCheck, VersionCheck, verify_runtimes, verify_versions
from tests.children.interpreters import HANGS, complains, prints, write_program
from tests.services.waiting import not_for_ever
from tests.unit.runtimes.rows import commands, runtime, version


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def machine(bin_dir: Path, *detected: DetectedInterpreter, timeout: float = 10.0) -> Machine:
    return Machine.of(detected, env={"PATH": f"{bin_dir}:/usr/bin:/bin"}, timeout=timeout)


def check_runtime(bin_dir: Path, distributions: dict[str, Any], **more: Any) -> RuntimeCheck:
    (found,) = verify_runtimes([runtime("core.tool", "Tool", distributions=distributions)], machine(bin_dir, **more))
    return found


def test_reads_all_fields_of_the_commands_and_sorts_them_by_priority() -> None:
    read = read_verification(
        commands(
            {"binary": "python", "args": ["--version", 3], "priority": 2, "optional": True},
            {"binary": "python3", "args": ["--version"], "exit_code": 1, "pattern": r"Python 3\.", "priority": 1},
            {"args": ["--version"]},
            {"binary": "last"},
            {"binary": "later"},
        ),
        default_priority=VERSION_PRIORITY,
    )
    assert read.checks == (
        Check("python3", ("--version",), 1, r"Python 3\.", 1),
        Check("python", ("--version",), 0, None, 2, True),
        Check("last", priority=100),
        Check("later", priority=100),
    )
    assert len(read.warnings) == 1 and "commands[2].binary" in read.warnings[0]


def test_the_default_priority_of_runtimes_is_last() -> None:
    read = read_verification(
        commands({"binary": "a"}, {"binary": "b", "priority": 500}), default_priority=RUNTIME_PRIORITY
    )
    assert [check.binary for check in read.checks] == ["b", "a"]


@pytest.mark.parametrize(
    "distributions", [{}, {"verification": {}}, {"verification": None}, {"verification": {"commands": []}}]
)
def test_without_commands_there_is_nothing_to_check(distributions: dict[str, Any], bin_dir: Path) -> None:
    read = read_verification(distributions, default_priority=1)
    assert read.checks == () and read.warnings == () and not read.needs_no_check
    assert not check_runtime(bin_dir, distributions).available


@pytest.mark.parametrize(
    "verification", ["yes", [], {"commands": "python3"}, {"commands": ["python3"]}, {"commands": [{"binary": 3}]}]
)
def test_malformed_metadata_never_counts_as_success(verification: Any, bin_dir: Path) -> None:
    read = read_verification({"verification": verification}, default_priority=1)
    assert read.checks == () and len(read.warnings) == 1
    assert not check_runtime(bin_dir, {"verification": verification}).available


def test_always_available_and_no_check_required_run_nothing(bin_dir: Path) -> None:
    write_program(bin_dir, "tool", f"touch {bin_dir}/ran; exit 1")
    assert check_runtime(bin_dir, commands({"binary": "tool"}, always_available=True)).available
    assert check_runtime(bin_dir, commands({"binary": "tool"}, check_required=False)).available
    assert not (bin_dir / "ran").exists()
    assert not check_runtime(bin_dir, commands({"binary": "tool"}, always_available="true")).available
    assert (bin_dir / "ran").exists()


def test_a_command_must_exit_as_stated_and_print_what_the_pattern_finds(bin_dir: Path) -> None:
    write_program(bin_dir, "tool", complains("Tool 3.1", 7))
    assert check_runtime(bin_dir, commands({"binary": "tool", "exit_code": 7, "pattern": r"Tool 3\."})).available
    assert not check_runtime(bin_dir, commands({"binary": "tool", "pattern": r"Tool 3\."})).available
    wrong = check_runtime(bin_dir, commands({"binary": "tool", "exit_code": 7, "pattern": "^3"}))
    assert not wrong.available and "it says Tool 3.1, which doesn't match ^3" in wrong.reason


def test_a_signal_counts_as_minus_one(bin_dir: Path) -> None:
    write_program(bin_dir, "tool", "kill -9 $$")
    assert check_runtime(bin_dir, commands({"binary": "tool", "exit_code": -1})).available
    assert not check_runtime(bin_dir, commands({"binary": "tool"})).available


def test_the_first_success_in_order_of_priority_decides(bin_dir: Path) -> None:
    for name, code in (("first", 1), ("second", 0), ("third", 0)):
        write_program(bin_dir, name, f"echo {name} >> {bin_dir}/order; exit {code}")
    entries = [{"binary": name, "priority": priority} for name, priority in (("third", 3), ("first", 1), ("second", 2))]
    assert check_runtime(bin_dir, commands(*entries)).available
    assert (bin_dir / "order").read_text().split() == ["first", "second"]


def test_a_program_that_is_not_there_is_a_failure_with_a_reason(bin_dir: Path) -> None:
    missing = check_runtime(bin_dir, commands({"binary": "no-such-tool", "args": ["-v"]}, {"binary": "/no/such"}))
    assert not missing.available
    assert missing.reason == "no-such-tool -v: not found on PATH; /no/such: no such program"


def test_a_malformed_pattern_is_a_warning_and_a_failure(bin_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_program(bin_dir, "tool", "echo x")
    with caplog.at_level(logging.WARNING):
        assert not check_runtime(bin_dir, commands({"binary": "tool", "pattern": "("})).available
    assert "malformed" in caplog.text


def test_a_pattern_that_would_search_for_ever_is_a_failure(bin_dir: Path) -> None:
    write_program(bin_dir, "tool", prints("a" * 3000 + "b"))
    with not_for_ever():
        found = check_runtime(bin_dir, commands({"binary": "tool", "pattern": "(.*a){25}c"}))
    assert not found.available and "its pattern" in found.reason


def test_a_command_that_hangs_is_a_failure(bin_dir: Path) -> None:
    write_program(bin_dir, "tool", HANGS)
    slow = machine(bin_dir, timeout=0.2)
    with not_for_ever():
        (found,) = verify_runtimes([runtime("core.tool", "Tool", distributions=commands({"binary": "tool"}))], slow)
    assert not found.available and "within 0.2 s" in found.reason


def test_runtimes_are_verified_side_by_side_and_a_command_they_share_runs_once(bin_dir: Path) -> None:
    # Each waits until the other has begun.
    write_program(bin_dir, "tool", f"echo x >> {bin_dir}/runs; until [ -e {bin_dir}/begun ]; do sleep 0.01; done")
    write_program(bin_dir, "other", f": > {bin_dir}/begun; until [ -e {bin_dir}/runs ]; do sleep 0.01; done")
    rows = [runtime(f"core.t{i}", f"T{i}", distributions=commands({"binary": "tool"})) for i in range(5)]
    rows.append(runtime("core.other", "Other", distributions=commands({"binary": "other"})))
    assert all(found.available for found in verify_runtimes(rows, machine(bin_dir, timeout=60)))
    assert (bin_dir / "runs").read_text().count("x") == 1


def test_a_row_that_another_machine_made_is_met_by_the_interpreter_detected_here(bin_dir: Path) -> None:
    ruby = DetectedInterpreter("ruby", "/usr/bin/ruby", "3.1.2")
    elsewhere = commands({"binary": "/opt/elsewhere/ruby", "args": ["--version"]})
    row = runtime("auto.ruby", "Ruby", "/opt/elsewhere/ruby", auto_detected=True, distributions=elsewhere)
    assert verify_runtimes([row], machine(bin_dir, ruby))[0].available
    assert not verify_runtimes([row], machine(bin_dir))[0].available
    ours = runtime("core.ruby", "Ruby", "/opt/elsewhere/ruby", distributions=elsewhere)
    assert not verify_runtimes([ours], machine(bin_dir, ruby))[0].available


def one(bin_dir: Path, row: Any, *detected: DetectedInterpreter) -> VersionCheck:
    (found,) = verify_versions([row], machine(bin_dir, *detected))
    return found


def test_a_version_is_available_with_its_own_interpreter_and_tells_the_whole_version(bin_dir: Path) -> None:
    own = write_program(bin_dir, "python3.12", prints("Python 3.12.13"))
    check = {"binary": "python3.12", "args": ["--version"], "pattern": r"Python 3\.12\.", "priority": 1}
    found = one(bin_dir, version("3.12", "python3.12", distributions=commands(check)))
    assert found.available and found.actual == "3.12.13"
    assert found.local is not None and found.local.interpreter == str(own)
    assert found.local.config.interpreter.binary == str(own)


def test_a_version_without_commands_asks_its_interpreter(bin_dir: Path) -> None:
    write_program(bin_dir, "python3.12", prints("Python 3.12.13"))
    write_program(bin_dir, "python3.13", "exit 1")
    write_program(bin_dir, "go1.22", 'test "$*" = version && echo go version go1.22.0 linux/amd64')
    assert one(bin_dir, version("3.12", "python3.12")).available
    assert not one(bin_dir, version("3.13", "python3.13")).available
    assert not one(bin_dir, version("3.14", "python3.14")).available
    assert one(bin_dir, version("1.22", "go1.22", ref="core.go")).actual == "1.22.0"


def test_a_version_that_needs_no_interpreter_is_available(bin_dir: Path) -> None:
    assert one(bin_dir, version("1.0", "")).available


def test_always_available_means_nothing_for_versions(bin_dir: Path) -> None:
    assert not one(bin_dir, version("3.12", "python3.12", distributions=commands(always_available=True))).available


def test_a_detected_interpreter_of_that_version_stands_in(bin_dir: Path) -> None:
    node = write_program(bin_dir, "node", prints("v20.19.0"))
    check = {"binary": "node20", "args": ["--version"], "pattern": r"v20\.", "priority": 1}
    row = version("20", "node20", ref="core.nodejs", distributions=commands(check))
    found = one(bin_dir, row, DetectedInterpreter("node", str(node), "20.19.0"))
    assert found.available and found.actual == "20.19.0"
    assert found.local is not None and found.local.config.interpreter.binary == str(node)
    assert not one(bin_dir, row, DetectedInterpreter("node", str(node), "22.1.0")).available
    assert not one(bin_dir, row, DetectedInterpreter("node", str(bin_dir / "gone"), "20.19.0")).available


def test_the_program_that_proved_the_version_stands_in_for_a_missing_one(bin_dir: Path) -> None:
    node = write_program(bin_dir, "node", prints("v20.19.0"))
    entries = [
        {"binary": "node20", "args": ["--version"], "pattern": r"v20\.", "priority": 1},
        {"binary": "node", "args": ["--version"], "pattern": r"v20\.", "priority": 2},
    ]
    found = one(bin_dir, version("20", "node20", ref="core.nodejs", distributions=commands(*entries)))
    assert found.available and found.local is not None and found.local.interpreter == str(node)


def test_a_check_by_another_program_does_not_make_it_the_interpreter(bin_dir: Path) -> None:
    write_program(bin_dir, "pkgtool", "exit 0")
    found = one(bin_dir, version("3.12", "python3.12", distributions=commands({"binary": "pkgtool"})))
    assert not found.available and "python3.12 isn't here" in found.reason
