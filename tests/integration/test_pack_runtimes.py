"""The commands of the core runtimes, run for real: environments come to be, failures are never hidden.

Promise: a failed installation is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.packs.parser import read_pack
from agent.runtimes.execution_config import ExecutionConfig
from tests.packs import SHIPPED
from tests.services.availability import unavailable

RUNTIMES = {runtime.ref: runtime for runtime in read_pack(SHIPPED / "core").runtimes}
CONFIGS = {ref: ExecutionConfig.from_json(runtime.execution_config) for ref, runtime in RUNTIMES.items()}
ALL_CONFIGS = [
    *CONFIGS.items(),
    *(
        (f"{ref} {version.version}", ExecutionConfig.from_json(version.execution_config))
        for ref, runtime in RUNTIMES.items()
        for version in runtime.versions or ()
    ),
]
WITH_ENVIRONMENT = sorted(ref for ref, config in CONFIGS.items() if config.environment)
# Every character that a shell would take for more than a name.
AWKWARD = 'pack\'s $(touch hit) `touch hit` "x" ;&'
NEEDS = {"core.python": "python3", "core.nodejs": "npm", "core.ruby": "bundle", "core.go": "go"}
FINE: Mapping[str, tuple[str, str]] = {
    "core.python": ("requirements.txt", "# nothing\n"),
    "core.nodejs": ("package.json", '{"name": "x", "version": "1.0.0"}'),
    "core.ruby": ("Gemfile", "# nothing\n"),
    "core.go": ("go.mod", "module example\n\ngo 1.18\n"),
}
IMPOSSIBLE: Mapping[str, tuple[str, str]] = {
    "core.python": ("requirements.txt", "./nowhere-1.0-py3-none-any.whl\n"),
    "core.nodejs": ("package.json", "{"),
    "core.ruby": ("Gemfile", "gem 'nowhere', path: '/nowhere'\n"),
    "core.go": (
        "go.mod",
        "module example\n\ngo 1.18\n\nrequire a.invalid/b v1.0.0\n\nreplace a.invalid/b => ./nowhere\n",
    ),
    "core.perl": ("cpanfile", "this is no cpanfile at all(\n"),
    "core.r": ("renv.lock", "{"),
}


def run(command: Sequence[str], pack: Path, env: Path, manifest: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of a runtime as a worker does: variables replaced in each word, from the pack's directory."""
    values = {
        "{env_dir}": str(env),
        "{pack_dir}": str(pack),
        "{manifest_path}": str(pack / manifest),
        "{interpreter}": sys.executable,
    }
    words = []
    for word in command:
        for name, value in values.items():
            word = word.replace(name, value)
        words.append(word)
    environ = {"PATH": os.environ["PATH"], "HOME": str(env.parent), "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    return subprocess.run(words, cwd=pack, capture_output=True, timeout=120, env=environ, check=False)


def places(tmp_path: Path) -> tuple[Path, Path]:
    pack, env = tmp_path / AWKWARD / "pack", tmp_path / AWKWARD / "envs" / "env"
    pack.mkdir(parents=True)
    env.parent.mkdir()
    return pack, env


def test_nine_runtimes_and_the_builtin_sensors_are_defined() -> None:
    names = {runtime.ref: (runtime.name, runtime.aliases) for runtime in RUNTIMES.values()}

    assert names == {
        "core.shell": ("Shell", ("shell", "bash", "sh")),
        "core.python": ("Python", ("python", "python3")),
        "core.nodejs": ("Node.js", ("node", "nodejs", "node.js")),
        "core.native": ("Native", ("native", "builtin", "standalone")),
        "core.ruby": ("Ruby", ("ruby", "rb")),
        "core.go": ("Go", ("go", "golang")),
        "core.java": ("Java", ("java", "jdk", "openjdk")),
        "core.perl": ("Perl", ("perl", "perl5")),
        "core.r": ("R", ("r", "rscript")),
        "core.sensor.builtin": ("Builtin", ()),
    }


def test_always_available_runtimes_say_so() -> None:
    always = {ref for ref, runtime in RUNTIMES.items() if runtime.distributions["verification"].get("always_available")}

    assert always == {"core.shell", "core.native", "core.sensor.builtin"}


@pytest.mark.parametrize(("ref", "config"), ALL_CONFIGS, ids=[ref for ref, _ in ALL_CONFIGS])
def test_no_command_hides_a_failure_or_builds_shell_text_from_paths(ref: str, config: ExecutionConfig) -> None:
    create = config.environment.create_command if config.environment else ()
    install = config.dependencies.install_command if config.dependencies else ()

    for command in (create, install):
        assert "|| true" not in " ".join(command)
        if command[:2] == ("sh", "-c"):
            assert "{" not in command[2].replace("{ ", "")
            assert "2>" not in command[2]


@pytest.mark.parametrize("ref", [ref for ref in WITH_ENVIRONMENT if ref != "core.python"])
def test_an_environment_is_made_without_a_manifest_whatever_its_path(ref: str, tmp_path: Path) -> None:
    pack, env = places(tmp_path)
    config = CONFIGS[ref]
    assert config.environment
    assert config.dependencies

    done = run(config.environment.create_command, pack, env, config.dependencies.manifest_file)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert env.is_dir()
    assert [path.name for path in tmp_path.rglob("hit")] == []


def test_node_copies_the_manifest_and_its_lock_file(tmp_path: Path) -> None:
    pack, env = places(tmp_path)
    (pack / "package.json").write_text("{}")
    (pack / "package-lock.json").write_text("{}")
    environment = CONFIGS["core.nodejs"].environment
    assert environment

    assert run(environment.create_command, pack, env, "package.json").returncode == 0

    assert sorted(path.name for path in env.iterdir()) == ["package-lock.json", "package.json"]


@pytest.mark.parametrize("ref", list(FINE))
def test_an_installation_that_has_nothing_to_do_succeeds(ref: str, tmp_path: Path) -> None:
    assert _install(ref, FINE[ref], tmp_path, required=True).returncode == 0


@pytest.mark.parametrize("ref", list(IMPOSSIBLE))
def test_an_installation_that_fails_or_has_no_installer_says_so(ref: str, tmp_path: Path) -> None:
    done = _install(ref, IMPOSSIBLE[ref], tmp_path, required=False)

    assert done.returncode != 0
    assert done.stderr + done.stdout != b""
    assert [path.name for path in tmp_path.rglob("hit")] == []


def _install(ref: str, manifest: tuple[str, str], tmp_path: Path, *, required: bool) -> Any:
    if required and shutil.which(NEEDS[ref]) is None:
        unavailable(NEEDS[ref], "install it")
    pack, env = places(tmp_path)
    (pack / manifest[0]).write_text(manifest[1])
    config = CONFIGS[ref]
    assert config.environment
    assert config.dependencies
    assert config.dependencies.manifest_file == manifest[0]
    if ref != "core.python":
        assert run(config.environment.create_command, pack, env, manifest[0]).returncode == 0
    return run(config.dependencies.install_command, pack, env, manifest[0])


def test_verification_patterns_of_versions_tell_neighbours_apart() -> None:
    import re

    for runtime in RUNTIMES.values():
        for version in runtime.versions or ():
            (command, *_) = version.distributions["verification"]["commands"]
            text = f"Python {version.version}.7 v{version.version}.19.0"
            other = f"Python {version.version}1.7 v1{version.version}1.0"
            assert re.search(command["pattern"], text)
            assert not re.search(command["pattern"], other)
            json.dumps(version.meta)
