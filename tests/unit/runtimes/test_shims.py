"""Version managers' shims are followed to the program that they start, without starting them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.runtimes.candidates import find_candidates
from agent.runtimes.detection import detect_interpreters
from agent.runtimes.languages import LANGUAGES
from agent.runtimes.probe import find_program
from agent.runtimes.shims import Shim, follow
from tests.children.interpreters import complains, prints, write_program

PYTHON = [family for family in LANGUAGES if family.name == "python"]
NODE = [family for family in LANGUAGES if family.name == "node"]


def pyenv(root: Path, *versions: str, chosen: str = "", manager: str = "pyenv", name: str = "python3") -> str:
    """A root as pyenv and its relatives lay it out; returns its shim."""
    for version in versions:
        write_program(root / "versions" / version / "bin", name, prints(f"Python {version}"))
    if chosen:
        (root / "version").write_text(chosen + "\n")
    body = f'export PYENV_ROOT="{root}"\nexec "{root}/libexec/{manager}" exec "${{0##*/}}" "$@"'
    return str(write_program(root / "shims", name, body))


def test_the_file_of_the_manager_chooses(tmp_path: Path) -> None:
    shim = pyenv(tmp_path, "3.11.7", "3.12.1", chosen="3.12.1")
    assert follow(shim, {}) == Shim(f"{tmp_path}/versions/3.12.1/bin/python3")


def test_its_variable_outranks_the_file_and_may_name_a_line_of_releases(tmp_path: Path) -> None:
    shim = pyenv(tmp_path, "3.11.7", "3.12.1", "3.12.11", "3.12.9", chosen="3.11.7")
    assert follow(shim, {"PYENV_VERSION": "3.12"}) == Shim(f"{tmp_path}/versions/3.12.11/bin/python3")
    assert follow(shim, {"PYENV_VERSION": "3.11.7:3.12.1"}) == Shim(f"{tmp_path}/versions/3.11.7/bin/python3")


def test_a_version_that_is_not_installed_starts_nothing(tmp_path: Path) -> None:
    shim = pyenv(tmp_path, "3.11.7")
    found = follow(shim, {"PYENV_VERSION": "3.99.1"})
    assert found is not None and found.program is None
    assert found.problem == "pyenv has no version 3.99.1, which PYENV_VERSION names"
    assert follow(shim, {"PYENV_VERSION": "../../etc"}) == Shim(None, found.problem.replace("3.99.1", "../../etc"))


def test_system_means_the_next_on_path(tmp_path: Path) -> None:
    shim = pyenv(tmp_path, "3.11.7", chosen="system")
    assert follow(shim, {}) == Shim(None)


def test_the_working_directorys_choice_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = pyenv(tmp_path / "pyenv", "3.11.7", "3.12.1", chosen="3.12.1")
    (tmp_path / ".python-version").write_text("3.11.7\n")
    monkeypatch.chdir(tmp_path)
    assert follow(shim, {"PWD": str(tmp_path)}) == Shim(f"{tmp_path}/pyenv/versions/3.12.1/bin/python3")


def test_a_virtual_environment_may_be_named_by_its_place(tmp_path: Path) -> None:
    shim = pyenv(tmp_path, "3.12.1", "3.12.1/envs/app", chosen="3.12.1")
    found = follow(shim, {"PYENV_VERSION": "3.12.1/envs/app"})
    assert found == Shim(f"{tmp_path}/versions/3.12.1/envs/app/bin/python3")


@pytest.mark.parametrize(
    "version", ["..", "3.12.1/..", "../versions/3.12.1", "/bin", "3.12.1//envs", "3.12.1/envs/none"]
)
def test_a_version_that_leads_elsewhere_is_none(tmp_path: Path, version: str) -> None:
    shim = pyenv(tmp_path, "3.12.1", chosen="3.12.1")
    found = follow(shim, {"PYENV_VERSION": version})
    assert found.problem == f"pyenv has no version {version}, which PYENV_VERSION names"


def test_relatives_of_pyenv_have_their_own_variable(tmp_path: Path) -> None:
    shim = pyenv(tmp_path / "rubies", "3.3.0", "3.1.4", chosen="3.1.4", manager="rbenv", name="ruby")
    assert follow(shim, {"PYENV_VERSION": "9", "RBENV_VERSION": "3.3.0"}) == Shim(
        f"{tmp_path}/rubies/versions/3.3.0/bin/ruby"
    )


def test_asdf_reads_its_variable_or_the_home_directory(tmp_path: Path) -> None:
    for version in ("20.11.0", "22.1.0"):
        write_program(tmp_path / "asdf/installs/nodejs" / version / "bin", "node", prints(f"v{version}"))
    shim = str(write_program(tmp_path / "asdf/shims", "node", "# asdf-plugin: nodejs 20.11.0\nexec asdf exec node"))
    home = {"HOME": str(tmp_path)}
    nothing = follow(shim, home)
    assert nothing is not None and nothing.program is None and "nodejs" in nothing.problem
    (tmp_path / ".tool-versions").write_text("python 3.12.1\nnodejs 22.1.0 20.11.0 # both\n")
    assert follow(shim, home) == Shim(f"{tmp_path}/asdf/installs/nodejs/22.1.0/bin/node")
    assert follow(shim, home | {"ASDF_NODEJS_VERSION": "20.11.0"}) == Shim(
        f"{tmp_path}/asdf/installs/nodejs/20.11.0/bin/node"
    )


def test_mise_reads_its_configuration(tmp_path: Path) -> None:
    write_program(tmp_path / "mise/installs/python/3.12.1/bin", "python3", prints("Python 3.12.1"))
    mise = write_program(tmp_path / "bin", "mise", "exit 1")
    (tmp_path / "mise/shims").mkdir()
    (tmp_path / "mise/shims/python3").symlink_to(mise)
    (tmp_path / ".config/mise").mkdir(parents=True)
    (tmp_path / ".config/mise/config.toml").write_text('[tools]\npython = {version = "3.12"}\n')
    shim = str(tmp_path / "mise/shims/python3")
    expected = Shim(f"{tmp_path}/mise/installs/python/3.12.1/bin/python3")
    assert follow(shim, {"HOME": str(tmp_path)}) == expected
    assert follow(shim, {"HOME": "/nowhere", "MISE_PYTHON_VERSION": "3.12.1"}) == expected


def test_volta_reads_its_platform(tmp_path: Path) -> None:
    node = write_program(tmp_path / "tools/image/node/20.11.0/bin", "node", prints("v20.11.0"))
    shim = str(write_program(tmp_path / "bin", "node", "exit 1"))
    assert follow(shim, {}) == Shim(None, f"volta has no default version of node ({tmp_path}/tools/user/platform.json)")
    (tmp_path / "tools/user").mkdir(parents=True)
    (tmp_path / "tools/user/platform.json").write_text(json.dumps({"node": {"runtime": "20.11.0", "npm": None}}))
    assert follow(shim, {}) == Shim(str(node))


DEEP = [b"[" * 60000, b"[tools]\nnode = " + b"[" * 60000]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"{" * 10000, b"[tools", b"tools = 3", *DEEP])
def test_a_damaged_configuration_starts_nothing(tmp_path: Path, content: bytes) -> None:
    shim = pyenv(tmp_path, "3.12.1")
    (tmp_path / "version").write_bytes(content)
    found = follow(shim, {})
    assert found is None or found.program is None
    (tmp_path / "tools/image").mkdir(parents=True)
    (tmp_path / "tools/user").mkdir()
    (tmp_path / "tools/user/platform.json").write_bytes(content)
    volta = follow(str(write_program(tmp_path / "bin", "node", "exit 1")), {})
    assert volta is not None and volta.program is None
    node = write_program(tmp_path / "mise" / "installs/node/20.11.0/bin", "node", prints("v20.11.0"))
    (tmp_path / "config.toml").write_bytes(content)
    mise = follow(
        str(write_program(tmp_path / "mise" / "shims", node.name, "exit 1")), {"MISE_CONFIG_DIR": str(tmp_path)}
    )
    assert mise is not None and mise.program is None


def test_an_ordinary_program_is_no_shim(tmp_path: Path) -> None:
    assert follow(str(write_program(tmp_path / "bin", "python3", "exit 0")), {}) is None


def test_with_a_version_that_is_not_there_the_systems_python_is_taken_and_the_shim_is_named(tmp_path: Path) -> None:
    shim = pyenv(tmp_path / "pyenv")
    (tmp_path / "pyenv/versions").mkdir(exist_ok=True)
    system = write_program(tmp_path / "usr", "python3", prints("Python 3.11.2"))
    env = {"PATH": f"{tmp_path}/pyenv/shims:{tmp_path}/usr:/bin", "PYENV_VERSION": "3.99.1"}
    found = detect_interpreters(env=env, families=PYTHON)
    assert [(item.path, item.version) for item in found.first] == [(str(system), "3.11.2")]
    assert [item.path for item in found.unusable] == [shim]
    assert "no version 3.99.1" in str(found.unusable[0].problem)
    nothing = detect_interpreters(env=env | {"PATH": f"{tmp_path}/pyenv/shims"}, families=PYTHON)
    assert nothing.found == ()


def test_all_versions_of_a_manager_on_path_are_found(tmp_path: Path) -> None:
    pyenv(tmp_path, "3.11.7", "3.12.1", "3.13.0", chosen="3.11.7")
    write_program(tmp_path / "versions/2.7.18/bin", "python", complains("Python 2.7.18", 0))
    found = detect_interpreters(env={"PATH": f"{tmp_path}/shims:/nowhere"}, families=PYTHON)
    assert [item.version for item in found.found] == ["3.11.7", "3.13.0", "3.12.1"]
    assert [item.problem for item in found.unusable] == ["it is Python 2.7.18; actions need Python 3"]


@pytest.mark.parametrize(
    ("layout", "on_path"),
    [
        (".nvm/versions/node/v{}/bin", ".nvm/versions/node/v20.1.0/bin"),
        ("installs/node/{}/bin", "installs/node/20.1.0/bin"),
        ("tools/image/node/{}/bin", "tools/image/node/20.1.0/bin"),
        ("versions/{}/bin", "versions/20.1.0/bin"),
    ],
)
def test_siblings_of_a_version_on_path_are_found(tmp_path: Path, layout: str, on_path: str) -> None:
    for version in ("18.2.0", "20.1.0", "22.3.0"):
        write_program(tmp_path / layout.format(version), "node", prints(f"v{version}"))
    found = detect_interpreters(env={"PATH": f"{tmp_path}/{on_path}"}, families=NODE)
    assert [item.version for item in found.found] == ["20.1.0", "22.3.0", "18.2.0"]


@pytest.mark.parametrize("layout", ["python3", "bin/python3", "3.12/bin/python3", "versions/3.12.1/bin/python3"])
def test_directories_that_an_operator_names_are_searched(tmp_path: Path, layout: str) -> None:
    path = tmp_path / layout
    write_program(path.parent, path.name, prints("Python 3.12.1"))
    found = detect_interpreters(env={"PATH": "/nowhere"}, families=PYTHON, search_paths=[str(tmp_path), "/not/there"])
    assert [item.path for item in found.found] == [str(path)]


def test_thousands_of_entries_are_not_asked(tmp_path: Path) -> None:
    for number in range(300):
        write_program(tmp_path / f"versions/3.12.{number}/bin", "python3", prints("Python 3.12.0"))
    (tmp_path / "shims").mkdir()
    assert len(find_candidates({"PATH": f"{tmp_path}/shims"}, PYTHON)) <= 40


def test_a_program_is_looked_for_behind_shims_too(tmp_path: Path) -> None:
    pyenv(tmp_path / "pyenv", "3.12.1", chosen="3.12.1", name="python3.12")
    pyenv(tmp_path / "pyenv", "3.13.0", chosen="3.12.1", name="python3.13")
    other = write_program(tmp_path / "usr", "python3.13", "exit 0")
    env = {"PATH": f"{tmp_path}/pyenv/shims:{tmp_path}/usr"}
    assert find_program("python3.12", env["PATH"], env) == f"{tmp_path}/pyenv/versions/3.12.1/bin/python3.12"
    assert find_program("python3.13", env["PATH"], env) == str(other)


@pytest.mark.skipif(not os.path.isdir(os.path.expanduser("~/.pyenv/shims")), reason="no pyenv here")
@pytest.mark.language("python")
def test_a_real_pyenv_is_followed_to_real_interpreters() -> None:
    root = Path("~/.pyenv").expanduser()
    env = {"PATH": f"{root}/shims:/usr/bin:/bin", "HOME": str(Path.home())}
    found = detect_interpreters(env=env, families=PYTHON)
    assert not any("/shims/" in item.path for item in found.found)
    installed = {path.name for path in (root / "versions").iterdir() if (path / "bin/python3").exists()}
    assert installed <= {item.version for item in found.found}
    broken = detect_interpreters(env=env | {"PYENV_VERSION": "3.99.1"}, families=PYTHON)
    assert broken.first[0].path == "/usr/bin/python3"
