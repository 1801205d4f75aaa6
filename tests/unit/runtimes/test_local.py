"""A row's configuration on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.execution_config import DependencySpec, EnvironmentSpec, ExecutionConfig, Interpreter
from agent.runtimes.local import localize
from agent.runtimes.probe import find_program
from tests.children.interpreters import write_program
from tests.unit.runtimes.rows import config


def on(directory: Path) -> Callable[[str], str | None]:
    return lambda name: find_program(name, str(directory))


def nowhere(name: str) -> str | None:
    return find_program(name, "")


def python_config(interpreter_path: str) -> ExecutionConfig:
    return ExecutionConfig(
        interpreter=Interpreter("python3.12", ("-u",), ".py"),
        environment=EnvironmentSpec("virtualenv", ".venv", ("python3.12", "-m", "venv", "{env_dir}"), interpreter_path),
        dependencies=DependencySpec("requirements.txt", ("{interpreter}", "-m", "pip", "python3.12")),
    )


def test_the_rows_own_interpreter_is_taken_where_it_is(tmp_path: Path) -> None:
    own = write_program(tmp_path, "ruby", "exit 0")
    detected = DetectedInterpreter("ruby", "/elsewhere/ruby", "3.1.2")
    local = localize(config("ruby", args=("-w",)), name="ruby", detected=detected, find=on(tmp_path))
    assert local is not None and local.present
    assert (local.interpreter, local.version) == (str(own), None)
    assert local.config.interpreter == Interpreter(str(own), ("-w",))


def test_its_version_is_known_where_it_is_the_detected_one(tmp_path: Path) -> None:
    own = write_program(tmp_path, "ruby", "exit 0")
    detected = DetectedInterpreter("ruby", str(own), "3.1.2")
    local = localize(config("ruby"), name="ruby", detected=detected, find=on(tmp_path))
    assert local is not None and local.version == "3.1.2"


def test_the_detected_interpreter_is_substituted_wherever_the_row_names_its_own(tmp_path: Path) -> None:
    path = str(write_program(tmp_path, "python3", "exit 0"))
    detected = DetectedInterpreter("python", path, "3.12.13")
    local = localize(python_config("{env_dir}/bin/python3.12"), name="python", detected=detected, find=nowhere)
    assert local is not None and local.version == "3.12.13"
    environment, dependencies = local.config.environment, local.config.dependencies
    assert local.config.interpreter == Interpreter(path, ("-u",), ".py")
    assert environment is not None and environment.create_command == (path, "-m", "venv", "{env_dir}")
    assert environment.interpreter_path == "{env_dir}/bin/python3.12"
    assert dependencies is not None and dependencies.install_command == ("{interpreter}", "-m", "pip", "python3.12")


def test_a_fixed_path_of_another_machine_is_replaced(tmp_path: Path) -> None:
    path = str(write_program(tmp_path, "python3", "exit 0"))
    detected = DetectedInterpreter("python", path, "3.12.13")
    local = localize(python_config("/elsewhere/python3"), name="python", detected=detected, find=nowhere)
    assert local is not None and local.config.environment is not None
    assert local.config.environment.interpreter_path == path


def test_a_machine_without_bash_runs_shell_with_its_own_shell(tmp_path: Path) -> None:
    shell = str(write_program(tmp_path, "sh", "exit 0"))
    local = localize(
        config("/no/bin/bash"), name="shell", detected=DetectedInterpreter("shell", shell), find=on(tmp_path)
    )
    assert local is not None and local.interpreter == shell


def test_without_any_interpreter_there_is_no_way_to_run_it(tmp_path: Path) -> None:
    assert localize(config("ruby"), name="ruby", detected=None, find=on(tmp_path)) is None
    perl = DetectedInterpreter("perl", str(write_program(tmp_path, "perl", "exit 0")), "5.36.0")
    assert localize(config("ruby"), name="ruby", detected=perl, find=on(tmp_path)) is None
    gone = DetectedInterpreter("ruby", str(tmp_path / "gone"), "3.1.2")
    assert localize(config("ruby"), name="ruby", detected=gone, find=on(tmp_path)) is None


def test_files_that_run_themselves_need_no_interpreter() -> None:
    local = localize(config(""), name="native", detected=None, find=nowhere)
    assert local is not None and local.interpreter == "" and local.present


def test_an_interpreter_that_vanishes_is_noticed(tmp_path: Path) -> None:
    ruby = write_program(tmp_path, "ruby", "exit 0")
    local = localize(config("ruby"), name="ruby", detected=None, find=on(tmp_path))
    assert local is not None and local.present
    ruby.unlink()
    assert not local.present
