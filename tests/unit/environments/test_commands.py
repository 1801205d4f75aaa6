"""What the kinds make of declared commands, what installers get to see, and what errors repeat of their output."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.environments.backend import Backend, BuildSite, Installers
from agent.environments.declared import Declared
from agent.environments.image_variables import KINDS
from agent.environments.installers import installer_environment
from agent.environments.kinds import BACKENDS, DECLARED
from agent.environments.node_modules import NodeModules
from agent.environments.source_copy import copy_pack
from agent.environments.steps import LAST_LINES, hide_credentials, last_lines, shown
from agent.environments.venv import Virtualenv
from agent.errors import EnvironmentFailed
from agent.process.command import CommandOutcome
from agent.runtimes.model import DependencySpec, EnvironmentSpec, ExecutionConfig, Interpreter
from tests.unit.environments.requests import python_request


def site(
    tmp_path: Path, create: tuple[str, ...] = (), install: tuple[str, ...] = (), binary: str = "ruby"
) -> BuildSite:
    config = ExecutionConfig(
        interpreter=Interpreter(binary),
        environment=EnvironmentSpec("gem_home", create_command=create),
        dependencies=DependencySpec("Gemfile", install),
    )
    request = python_request(tmp_path, config=config, interpreter=f"/opt/{binary}/bin/{binary}")
    return BuildSite(request, tmp_path / "env", None, tmp_path, Installers(tmp_path / ".cache"))


def test_the_machines_own_interpreter_stands_for_the_runtimes(tmp_path: Path) -> None:
    here = site(tmp_path, ("ruby", "-e", "1"), ("ruby", "-S", "bundle"))
    assert Declared().create_command(here) == ("/opt/ruby/bin/ruby", "-e", "1")
    assert Declared().install_command(here) == ("{interpreter}", "-S", "bundle")
    python = site(tmp_path, ("python3.12", "-m", "venv", "{env_dir}"), binary="python3")
    assert Virtualenv().create_command(python)[0] == "/opt/python3/bin/python3"
    assert Declared().create_command(python)[0] == "python3.12"


@pytest.mark.parametrize(
    ("declared", "run"),
    [
        ("cd x && bundle install --quiet 2>/dev/null || true", "cd x && bundle install --quiet"),
        ("bundle install || :", "bundle install"),
        ("a || b", "a || b"),
        ("a || true && b", "a || true && b"),
    ],
)
def test_an_ending_that_hides_failures_is_dropped(tmp_path: Path, declared: str, run: str) -> None:
    assert Declared().install_command(site(tmp_path, install=("sh", "-c", declared))) == ("sh", "-c", run)


def test_the_environments_programs_come_first_then_the_interpreters(tmp_path: Path) -> None:
    here = site(tmp_path, binary="python3")
    env = installer_environment(
        {"PATH": "/usr/bin", "HOME": str(tmp_path), "PIP_USER": "1", "PIP_INDEX_URL": "https://i"},
        hidden=KINDS["virtualenv"],
        installers=Installers(tmp_path / ".cache"),
        variables={"PIP_NO_INPUT": "1"},
        program_folders=Virtualenv().program_folders(here),
    )
    assert env["PATH"] == os.pathsep.join([str(tmp_path / "env/bin"), "/opt/python3/bin", "/usr/bin"])
    assert env["HOME"] == str(tmp_path)
    assert "PIP_USER" not in env
    assert (env["PIP_NO_INPUT"], env["PIP_INDEX_URL"]) == ("1", "https://i")


def test_no_home_is_needed_and_the_images_own_caches_stay(tmp_path: Path) -> None:
    for home in ({}, {"HOME": f"{tmp_path}/absent"}):
        env = installer_environment(
            {"PIP_CACHE_DIR": "/cache", **home},
            hidden=KINDS["virtualenv"],
            installers=Installers(tmp_path / ".cache"),
            variables={},
            program_folders=[],
        )
        assert os.access(env["HOME"], os.W_OK)
        assert env["PIP_CACHE_DIR"] == "/cache"
        assert env["npm_config_cache"] == str(tmp_path / ".cache" / "npm")


def outcome(stdout: str = "", stderr: str = "") -> CommandOutcome:
    return CommandOutcome("exited", 1, stdout.encode(), stderr.encode(), "", 0.1)


def test_the_last_lines_are_the_errors() -> None:
    noise = "\n".join(f"collecting {number}" for number in range(50))
    errors = [f"error {number}" for number in range(50)]
    assert last_lines(outcome(noise, "\n".join(errors))) == errors[-LAST_LINES:]


def test_output_stands_in_where_there_are_few_errors() -> None:
    lines = last_lines(outcome("out 1\n\nout 2\n", "the error\n"))
    assert lines == ["out 1", "out 2", "the error"]
    assert last_lines(outcome(stderr="\x1b[1;31mred\x1b[0m\n\x1b[0m\n")) == ["red"]


def test_credentials_of_a_package_index_are_not_repeated() -> None:
    assert (
        hide_credentials("pip --index-url https://u:p@host/simple x@1") == "pip --index-url https://***@host/simple x@1"
    )
    assert last_lines(outcome(stderr="GET https://token@host failed\0")) == ["GET https://***@host failed"]


def test_a_program_among_the_words_of_a_command_does_not_hide_what_was_said() -> None:
    assert shown(["sh", "-c", "one\ntwo", "x y", "https://u:p@h"]) == "sh -c <script> 'x y' https://***@h"
    assert shown(["sh", "-c", "cd one\n"]) == "sh -c 'cd one\n'"


@pytest.mark.parametrize(
    "output",
    [
        "No module named venv",
        "The virtual environment was not created successfully because ensurepip is not\navailable.",
        "Error: Command '['/e/bin/python3', '-m', 'ensurepip']' returned non-zero exit status 1.",
    ],
)
def test_a_python_without_venv_is_named_with_its_remedy(tmp_path: Path, output: str) -> None:
    assert "apt-get install python3-venv" in str(Virtualenv().remedy(site(tmp_path, binary="python3"), output))
    assert Virtualenv().remedy(site(tmp_path), "something else") is None


@pytest.mark.parametrize("kind", [*BACKENDS.values(), DECLARED], ids=[*BACKENDS, "declared"])
@pytest.mark.parametrize(
    "output",
    [
        "error: command 'gcc' failed: No such file or directory",
        "unable to execute 'gcc': No such file or directory",
        "gyp ERR! stack Error: not found: make",
        "You have to install development tools first.",
        "/bin/bash: line 1: gcc: command not found",
        "sh: 1: make: not found",
        "! Can't configure the distribution. You probably need to have 'make'. See build.log",
    ],
)
def test_a_machine_without_compiler_is_told_so_in_every_language(tmp_path: Path, kind: Backend, output: str) -> None:
    assert "apt-get install build-essential" in str(kind.remedy(site(tmp_path), output))
    assert kind.remedy(site(tmp_path), "make: *** [Makefile:5: all] Error 1") is None


def stage(pack: Path, package_json: str) -> Path:
    (pack / "package.json").write_text(package_json)
    env = pack.parent / "env"
    here = BuildSite(python_request(pack), env, pack / "package.json", pack, Installers(pack.parent / ".cache"))
    NodeModules().stage(here)
    if NodeModules().works_in_copy(here.request, pack / "package.json"):
        copy_pack(pack, NodeModules().source_dir(env))
    return here.env_dir


def test_local_packages_of_node_are_copied_to_the_same_place_with_theirs(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    for name, needs in (("a", "file:../b"), ("b", "^1.0.0")):
        (pack / "lib" / name).mkdir(parents=True)
        (pack / "lib" / name / "package.json").write_text(f'{{"dependencies": {{"x": "{needs}"}}}}')
    (pack / "package-lock.json").write_text("{}")
    env = stage(pack, '{"dependencies": {"a": "file:lib/a"}, "devDependencies": {"z": "npm:q@1", "y": 5}}')
    assert (env / "lib/a/package.json").is_file()
    assert (env / "lib/b/package.json").is_file()
    assert (env / "package-lock.json").is_file()


@pytest.mark.parametrize("spec", ["file:../other", "../other", "link:../other", "file:."])
def test_a_package_outside_the_pack_is_refused(tmp_path: Path, spec: str) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "other").mkdir()
    with pytest.raises(EnvironmentFailed, match="outside the pack"):
        stage(tmp_path / "pack", f'{{"dependencies": {{"a": "{spec}"}}}}')


@pytest.mark.parametrize("manifest", ["", "[]", '{"dependencies": []}', '{"dependencies": {"a": "file:gone"}}'])
def test_a_malformed_package_json_is_left_to_npm(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "pack").mkdir()
    assert (stage(tmp_path / "pack", manifest) / "package.json").read_text() == manifest
