"""What requirements, projects and images of Python people really have: all is installed, and nothing else moves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from agent.errors import EnvironmentFailed
from tests.integration.environment_site import (
    PYTHON,
    Site,
    as_json,
    core_config,
    make_wheel,
    needs,
    pip_config,
    python_without,
    quick_config,
    run_in,
)
from tests.integration.language_bench import LANGUAGES, Bench, uv_program
from tests.integration.language_packs import python_pack, read_only, state, write
from tests.services.availability import unavailable

#: A build backend that does what setuptools does to its source: it leaves things there.
BACKEND = """
import os, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    os.makedirs("build/lib"); open("build/lib/left", "w").close(); os.makedirs("hi.egg-info")
    name = "hi-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("hi.py", open("hi.py").read())
        wheel.writestr("hi-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hi\\nVersion: 1.0\\n")
        wheel.writestr("hi-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("hi-1.0.dist-info/RECORD", "hi.py,,\\nhi-1.0.dist-info/METADATA,,\\nhi-1.0.dist-info/WHEEL,,\\n")
    return name
"""
HI = {
    "lib/hi/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "lib/hi/backend.py": BACKEND,
    "lib/hi/hi.py": "TEXT = 'hi'\n",
}


SETUPTOOLS = {
    "old": {"setup.py": "from setuptools import setup\nsetup(name='hi', version='1.0', py_modules=['hi'])\n"},
    "new": {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "hi"\nversion = "1.0"\n[tool.setuptools]\npy-modules = ["hi"]\n'
    },
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def setuptools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of the real setuptools, to be installed without an index."""
    folder = tmp_path_factory.mktemp("setuptools")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "setuptools>=70.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        unavailable("setuptools", f"a package index has to be reachable: {done.stderr[-200:]}")
    return folder


def test_a_local_package_that_is_built_leaves_nothing_in_the_pack_and_is_built_once(site: Site) -> None:
    pack = write(site.packs / "one", {**HI, "requirements.txt": "--no-index\n./lib/hi\n"})
    before = state(pack)
    prepared = site.manager.ensure(site.request("one", pip_config()))
    assert run_in(prepared, "import hi; print(hi.TEXT)") == "hi"
    assert state(pack) == before
    assert site.new_manager().ensure(site.request("one", pip_config())).env_dir == prepared.env_dir
    write(pack, {"lib/hi/hi.py": "TEXT = 'changed'\n"})
    assert run_in(site.manager.ensure(site.request("one", pip_config())), "import hi; print(hi.TEXT)") == "changed"


@pytest.mark.parametrize(
    ("style", "requirement", "installer"),
    [
        ("old", "./source/hi", "pip"),
        ("new", "hi @ file:source/hi", "pip"),
        ("old", "-e ./source/hi", "pip"),
        ("new", "./source/hi", "uv"),
    ],
)
def test_setuptools_builds_a_package_of_a_pack_that_stays_as_it_is(
    site: Site, setuptools: Path, style: str, requirement: str, installer: str
) -> None:
    uv, config = (uv_program(), core_config("python")) if installer == "uv" else (None, pip_config())
    files = {f"source/hi/{name}": text for name, text in SETUPTOOLS[style].items()}
    files |= {"source/hi/hi.py": "TEXT = 'hi'\n"}
    files |= {"requirements.txt": f"--no-index\n--find-links {setuptools}\n{requirement}\n"}
    writable, closed = write(site.packs / "one", files), read_only(write(site.packs / "two", files))
    before = state(writable), state(closed)
    built = {name: site.new_manager(uv=uv).ensure(site.request(name, config)) for name in ("one", "two")}
    for prepared in built.values():
        assert run_in(prepared, "import hi; print(hi.TEXT)") == "hi"
    assert (state(writable), state(closed)) == before
    assert site.new_manager(uv=uv).ensure(site.request("one", config)).env_dir == built["one"].env_dir


def test_a_project_file_is_a_manifest_too(site: Site) -> None:
    pack = python_pack(site.packs / "one", "1.0")
    (pack / "requirements.txt").unlink()
    write(pack, {"pyproject.toml": '[project]\nname = "one"\nversion = "1"\ndependencies = ["attune-greeting"]\n'})
    variables = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(pack / "wheels")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        prepared = site.manager.ensure(site.request("one", pip_config()))
    assert run_in(prepared, "import attune_greeting as g; print(g.TEXT)") == "hello from 1.0"


def test_what_lies_on_the_images_pythonpath_is_installed_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python_pack(site.packs / "one", "1.0")
    wheel = make_wheel(tmp_path / "w", "attune_greeting", "1.0", "TEXT = 'of the image'\n")
    shutil.unpack_archive(wheel, tmp_path / "x", "zip")
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\ntarget = {tmp_path}/t\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "x"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "t"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    manager = site.new_manager()
    prepared = manager.ensure(site.request("one", core_config("python")))
    assert "PYTHONPATH" in prepared.unset and not (tmp_path / "t").exists()
    assert run_in(prepared, "import attune_greeting as g; print(g.TEXT)") == "hello from 1.0"


def test_an_installer_that_succeeds_and_installed_elsewhere_does_not_pass(site: Site) -> None:
    python_pack(site.packs / "one", "1.0")
    config = pip_config()
    command = config["dependencies"]["install_command"]
    config["dependencies"]["install_command"] = [*command, "--target", str(site.root / "elsewhere")]
    with pytest.raises(EnvironmentFailed, match="attune-greeting is not in the environment") as caught:
        site.manager.ensure(site.request("one", config))
    assert caught.value.step == "check what was installed"


def test_a_manifest_of_comments_only_declares_nothing(site: Site, tmp_path: Path) -> None:
    write(site.packs / "one", {"requirements.txt": "\ufeff# later\n\n  # more\n"})
    interpreter = python_without(tmp_path / "python", "ensurepip")
    prepared = site.manager.ensure(site.request("one", core_config("python"), interpreter=interpreter))
    assert prepared.env_dir is None and prepared.interpreter == interpreter
    assert "python3-venv" in str(prepared.warning)


def test_an_included_file_that_changes_rebuilds_whatever_the_first_line_begins_with(site: Site) -> None:
    pack = write(site.packs / "one", {"requirements.txt": "\ufeff-rbase.txt\n", "base.txt": "# 1\n"})
    request = site.request("one", quick_config("true", manifest="requirements.txt"))
    first = site.manager.ensure(request).env_dir
    write(pack, {"base.txt": "# 2\n"})
    assert site.manager.ensure(request).env_dir != first


def test_a_relocatable_python_gets_links_because_a_copy_would_not_start(site: Site, tmp_path: Path) -> None:
    """Its library is found relative to the program, as in the builds that version managers download."""
    library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY") or "none")
    if not needs("gcc") or library.suffix != ".so":
        pytest.skip("this Python has no shared library")
    home = tmp_path / "portable"
    (home / "bin").mkdir(parents=True)
    (home / "lib").mkdir()
    shutil.copy2(os.path.realpath(library), home / "lib" / os.path.basename(os.path.realpath(library)))
    stdlib = Path(sysconfig.get_path("stdlib"))
    (home / "lib" / stdlib.name).symlink_to(stdlib)
    (home / "main.c").write_text(
        "int Py_BytesMain(int, char **);\nint main(int c, char **v) { return Py_BytesMain(c, v); }\n"
    )
    program = home / "bin/python3"
    linked = [f"-L{home}/lib", f"-l:{os.path.basename(os.path.realpath(library))}", "-Wl,-rpath,$ORIGIN/../lib"]
    subprocess.run(["gcc", "-o", str(program), str(home / "main.c"), *linked], check=True)
    write(site.packs / "one", {"actions/a.py": ""})
    prepared = site.manager.ensure(site.request("one", pip_config(), interpreter=str(program)))
    assert prepared.warning is None and prepared.env_dir is not None
    assert os.path.islink(prepared.interpreter)
    said = run_in(prepared, "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix]))")
    assert as_json(said) == [str(prepared.env_dir), str(home)]


def test_uv_builds_the_same_environment_where_the_machine_has_it_in_a_hostile_image_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(LANGUAGES["python"], site)
    hostile = {
        "UV_TARGET": f"{bench.elsewhere}/t",
        "UV_PREFIX": f"{bench.elsewhere}/p",
        "UV_BREAK_SYSTEM_PACKAGES": "1",
    }
    for name, value in {**bench.hostile, **hostile}.items():
        monkeypatch.setenv(name, value)
    write(site.root / "home", {".config/uv/uv.toml": f'[pip]\ntarget = "{bench.elsewhere}/u"\n'})
    uv = uv_program()
    pack = python_pack(site.packs / "one", "1.0")
    prepared = site.new_manager(uv=uv).ensure(site.request("one", core_config("python")))
    assert run_in(prepared, "import attune_greeting as g; print(g.TEXT)") == "hello from 1.0"
    assert os.path.realpath(prepared.interpreter) == os.path.realpath(PYTHON)
    assert prepared.env_dir is not None and "uv" in (prepared.env_dir / "pyvenv.cfg").read_text()
    assert sorted(bench.elsewhere.rglob("*")) == [bench.elsewhere / "x"]
    write(pack, {"requirements.txt": "--no-index\nnosuchthing\n"})
    with pytest.raises(EnvironmentFailed, match="nosuchthing"):
        site.new_manager(uv=uv).ensure(site.request("one", core_config("python")))


def test_what_the_installer_itself_calls_incomplete_does_not_pass(site: Site) -> None:
    wheel = make_wheel(site.packs / "one/wheels", "attune_greeting", "1.0", "TEXT = 'hi'\n")
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["attune_greeting-1.0.dist-info/METADATA"] += b"Requires-Dist: attune-nosuch\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    write(site.packs / "one", {"requirements.txt": "--no-index\n--find-links wheels\nattune-greeting\n"})
    config = pip_config()
    config["dependencies"]["install_command"].append("--no-deps")
    with pytest.raises(EnvironmentFailed, match=r"attune.greeting 1\.0 requires attune-nosuch, which is not") as caught:
        site.manager.ensure(site.request("one", config))
    assert caught.value.step == "check what was installed"
    uv = uv_program()
    config = core_config("python")
    config["dependencies"]["install_command"].append("--no-deps")
    with pytest.raises(EnvironmentFailed, match="attune-nosuch"):
        site.new_manager(uv=uv).ensure(site.request("one", config))


def test_a_python_that_can_not_say_what_is_installed_is_believed(site: Site, tmp_path: Path) -> None:
    """Python 3.7 and older, which images of long-term distributions still have."""
    python_pack(site.packs / "one", "1.0")
    old = tmp_path / "old"
    interpreter = python_without(old, "importlib")
    library = old / "lib" / Path(sysconfig.get_path("stdlib")).name / "importlib"
    shutil.copytree(Path(sysconfig.get_path("stdlib")) / "importlib", library)
    (library / "metadata" / "__init__.py").write_text("raise ImportError('not yet')\n")
    config = pip_config()
    copied = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--target",
        "{env_dir}/lib/" + library.parent.name + "/site-packages",
    ]
    config["dependencies"]["install_command"] = [*copied, "-r", "{manifest_path}"]
    prepared = site.manager.ensure(site.request("one", config, interpreter=interpreter))
    assert run_in(prepared, "import attune_greeting as g; print(g.TEXT)") == "hello from 1.0"
