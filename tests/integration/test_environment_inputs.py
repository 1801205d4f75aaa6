"""Packs and images as people really have them: what they need is installed, and nothing else moves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import zipfile
from pathlib import Path

import pytest

from agent.environments.model import PreparedEnvironment
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
from tests.integration.language_bench import LANGUAGES, Bench
from tests.integration.language_packs import python_pack, read_only, state, write

HELLO = {
    "lib/hello/package.json": '{"name": "hello", "version": "1.0.0"}',
    "lib/hello/index.js": "exports.hi = 'hi';\n",
}
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


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def node(site: Site, name: str = "one") -> PreparedEnvironment:
    return site.manager.ensure(
        site.request(
            name, core_config("nodejs"), dir_name="node", interpreter=needs("node"), interpreter_version="20.0.0"
        )
    )


def run_node(prepared: PreparedEnvironment, script: Path) -> str:
    known = {name: variable.value for name, variable in prepared.env_vars.items()}
    command = [prepared.interpreter, *prepared.arguments, str(script)]
    done = subprocess.run(command, env={**os.environ, **known}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.language("node")
def test_import_finds_what_the_manifest_names_and_the_action_keeps_its_own_place(site: Site) -> None:
    one = write(
        site.packs / "one",
        {
            **HELLO,
            "package.json": '{"dependencies": {"hello": "file:./lib/hello"}}',
            "actions/a.mjs": "import {hi} from 'hello'; console.log(hi, import.meta.url);\n",
            "actions/b.js": "import('hello').then((m) => console.log(m.hi, __filename));\n",
            "actions/c.js": "require('./d.js');\n",
            "actions/d.js": "module.exports = import('hello').then((m) => console.log(m.default.hi));\n",
            "actions/e.mjs": "import('nosuch').catch((e) => console.log(e.code));\n",
        },
    )
    module = write(
        site.packs / "two",
        {
            **HELLO,
            "package.json": '{"type": "module", "dependencies": {"hello": "file:./lib/hello"}}',
            "actions/a.js": "import hello from 'hello'; console.log(hello.hi);\n",
        },
    )
    prepared = node(site)
    assert run_node(prepared, one / "actions/a.mjs") == f"hi file://{one}/actions/a.mjs"
    assert run_node(prepared, one / "actions/b.js") == f"hi {one}/actions/b.js"
    assert run_node(prepared, one / "actions/c.js") == "hi"
    assert run_node(prepared, one / "actions/e.mjs") == "ERR_MODULE_NOT_FOUND"
    assert run_node(node(site, "two"), module / "actions/a.js") == "hi"


@pytest.mark.language("node")
def test_workspaces_are_linked_and_scripts_of_the_installation_find_their_files(site: Site) -> None:
    pack = write(
        site.packs / "one",
        {
            "package.json": (
                '{"workspaces": ["packages/*"], "dependencies": {"ours": "*"},'
                ' "scripts": {"postinstall": "node scripts/setup.js"}}'
            ),
            "packages/ours/package.json": '{"name": "ours", "version": "1.0.0"}',
            "packages/ours/index.js": "exports.hi = 'ours';\n",
            "scripts/setup.js": "require('fs').writeFileSync('made', 'by the script');\n",
            "actions/a.js": "console.log(require('ours').hi);\n",
        },
    )
    before = state(read_only(pack))
    prepared = node(site)
    assert run_node(prepared, pack / "actions/a.js") == "ours"
    assert prepared.env_dir is not None and (prepared.env_dir / "made").read_text() == "by the script"
    assert state(pack) == before


def test_a_local_package_that_is_built_leaves_nothing_in_the_pack_and_is_built_once(site: Site) -> None:
    pack = write(site.packs / "one", {**HI, "requirements.txt": "--no-index\n./lib/hi\n"})
    before = state(pack)
    prepared = site.manager.ensure(site.request("one", pip_config()))
    assert run_in(prepared, "import hi; print(hi.TEXT)") == "hi"
    assert state(pack) == before
    assert site.new_manager().ensure(site.request("one", pip_config())).env_dir == prepared.env_dir
    write(pack, {"lib/hi/hi.py": "TEXT = 'changed'\n"})
    assert run_in(site.manager.ensure(site.request("one", pip_config())), "import hi; print(hi.TEXT)") == "changed"


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


def test_thirty_two_executions_on_a_cold_machine_build_once(site: Site, tmp_path: Path) -> None:
    write(site.packs / "one", {"manifest.txt": "x\n"})
    log = tmp_path / "builds"
    config = quick_config("sh", "-c", f'echo built >> "{log}"')
    found: list[object] = []
    managers = [site.new_manager() for _ in range(2)]
    threads = [
        threading.Thread(target=lambda i=i: found.append(managers[i % 2].ensure(site.request("one", config)).env_dir))
        for i in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(found) == 32 and len(set(found)) == 1
    assert log.read_text() == "built\n"


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/passwd", "link.txt"])
def test_a_manifest_that_leaves_the_pack_is_refused(site: Site, name: str) -> None:
    pack = write(site.packs / "one", {"actions/a": ""})
    (site.packs / "outside.txt").write_text("hi\n")
    (pack / "link.txt").symlink_to("../outside.txt")
    with pytest.raises(EnvironmentFailed, match="outside the pack"):
        site.manager.ensure(site.request("one", quick_config("true", manifest=name)))


def test_uv_builds_the_same_environment_where_the_machine_has_it(site: Site) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or needs("uv")
    pack = python_pack(site.packs / "one", "1.0")
    prepared = site.new_manager(uv=uv).ensure(site.request("one", core_config("python")))
    assert run_in(prepared, "import attune_greeting as g; print(g.TEXT)") == "hello from 1.0"
    assert os.path.realpath(prepared.interpreter) == os.path.realpath(PYTHON)
    assert prepared.env_dir is not None and "uv" in (prepared.env_dir / "pyvenv.cfg").read_text()
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
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or needs("uv")
    config = core_config("python")
    config["dependencies"]["install_command"].append("--no-deps")
    with pytest.raises(EnvironmentFailed, match="attune-nosuch"):
        site.new_manager(uv=uv).ensure(site.request("one", config))


@pytest.mark.language("go")
def test_a_folder_of_vendored_things_of_another_language_is_not_gos(site: Site) -> None:
    bench = Bench(LANGUAGES["go"], site)
    pack = bench.pack("one", "1.0")
    write(pack, {"vendor/cache/a.gem": ""})
    assert bench.run("one", bench.ensure("one")) == "hello from 1.0"
    first = bench.ensure("one")
    modules = "# example.invalid/greeting v0.0.0 => ./lib/greeting\n## explicit; go 1.18\nexample.invalid/greeting\n"
    modules += "# example.invalid/greeting => ./lib/greeting\n"
    code = 'package greeting\n\nconst Text = "hello from the vendored one"\n'
    write(pack, {"vendor/modules.txt": modules, "vendor/example.invalid/greeting/greeting.go": code})
    second = bench.ensure("one")
    assert second.env_dir != first.env_dir
    assert bench.run("one", second) == "hello from the vendored one"


@pytest.mark.language("node")
def test_what_npm_itself_calls_wrong_does_not_pass(site: Site) -> None:
    write(site.packs / "one", {**HELLO, "package.json": '{"dependencies": {"hello": "file:./lib/hello"}}'})
    config = core_config("nodejs")
    wrapper = write(
        site.root / "bin", {"npm": '#!/bin/sh\n[ "$1" = ls ] && { echo "npm ERR! invalid: hello" >&2; exit 1; }\n'}
    )
    (wrapper / "npm").write_text((wrapper / "npm").read_text() + f'exec {needs("npm")} "$@"\n')
    (wrapper / "npm").chmod(0o755)
    (wrapper / "node").symlink_to(needs("node"))
    request = site.request(
        "one", config, dir_name="node", interpreter=str(wrapper / "node"), interpreter_version="20.0.0"
    )
    with pytest.raises(EnvironmentFailed, match="invalid: hello") as caught:
        site.manager.ensure(request)
    assert caught.value.step == "check what was installed"


@pytest.mark.language("go")
def test_a_go_sum_that_lacks_a_module_fails_the_build_not_the_action(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = site.root / "proxy/example.invalid/dep/@v"
    module = "module example.invalid/dep\n\ngo 1.18\n"
    write(proxy, {"list": "v1.0.0\n", "v1.0.0.mod": module, "v1.0.0.info": '{"Version": "v1.0.0"}'})
    with zipfile.ZipFile(proxy / "v1.0.0.zip", "w") as archive:
        archive.writestr("example.invalid/dep@v1.0.0/go.mod", module)
        archive.writestr("example.invalid/dep@v1.0.0/dep.go", 'package dep\n\nconst Text = "dep"\n')
    pack = write(
        site.packs / "one",
        {
            "go.mod": "module a.invalid/b\n\ngo 1.18\n\nrequire example.invalid/dep v1.0.0\n",
            "actions/greet.go": 'package main\n\nimport (\n\t"fmt"\n\n\t"example.invalid/dep"\n)\n\n'
            "func main() { fmt.Println(dep.Text) }\n",
        },
    )
    monkeypatch.setenv("GONOSUMDB", "example.invalid")
    bench = Bench(LANGUAGES["go"], site)
    with pytest.raises(EnvironmentFailed, match=r"go\.sum") as caught:
        bench.ensure("one", go_proxy=(site.root / "proxy").as_uri())
    assert caught.value.step in ("install dependencies", "check what was installed")
    assert "go mod tidy" in str(caught.value.hint)
    assert not (pack / "go.sum").exists()
    go = {"GOPROXY": (site.root / "proxy").as_uri(), "GOPATH": str(site.root / "gopath"), "GOFLAGS": "-modcacherw"}
    subprocess.run([needs("go"), "mod", "tidy"], cwd=pack, env={**os.environ, **go}, check=True, capture_output=True)
    assert bench.run("one", bench.ensure("one", go_proxy=go["GOPROXY"])) == "dep"
    subprocess.run([needs("go"), "mod", "vendor"], cwd=pack, env={**os.environ, **go}, check=True, capture_output=True)
    vendored = bench.ensure("one", go_proxy="off")
    assert bench.run("one", vendored) == "dep"
    assert not list((vendored.env_dir or site.root).glob("pkg/mod/cache/download/*")), "nothing was downloaded"
    modules = pack / "vendor/modules.txt"
    modules.write_text(modules.read_text().replace("v1.0.0", "v1.0.1"))
    with pytest.raises(EnvironmentFailed, match="inconsistent vendoring"):
        bench.ensure("one", go_proxy="off")


@pytest.mark.language("ruby")
def test_gems_that_a_pack_brings_are_installed_without_asking_a_server(site: Site) -> None:
    bench = Bench(LANGUAGES["ruby"], site)
    pack = bench.pack("one", "1.0")
    gem = pack / "lib/greeting"
    subprocess.run([needs("gem"), "build", "greeting.gemspec"], cwd=gem, check=True, capture_output=True)
    (pack / "vendor/cache").mkdir(parents=True)
    (gem / "greeting-1.0.gem").rename(pack / "vendor/cache/greeting-1.0.gem")
    lock = "GEM\n  remote: https://gems.invalid/\n  specs:\n    greeting (1.0)\n\n"
    lock += "PLATFORMS\n  aarch64-darwin\n  x86_64-linux\n\nDEPENDENCIES\n  greeting\n"
    write(pack, {"Gemfile": 'source "https://gems.invalid"\ngem "greeting"\n', "Gemfile.lock": lock})
    prepared = bench.ensure("one")
    assert bench.run("one", prepared) == "hello from 1.0"
    assert prepared.env_dir is not None and list((prepared.env_dir / "gems/gems").glob("greeting-1.0"))


@pytest.mark.language("go")
def test_a_go_workspace_counts_when_it_is_the_packs_own(site: Site) -> None:
    bench = Bench(LANGUAGES["go"], site)
    pack = bench.pack("one", "1.0")
    write(site.packs, {"go.work": "go 1.18\n\nuse ./nowhere\n"})
    assert bench.run("one", bench.ensure("one")) == "hello from 1.0"
    other = 'package greeting\n\nconst Text = "hello from the workspace"\n'
    write(pack, {"own/go.mod": "module example.invalid/greeting\n\ngo 1.18\n", "own/greeting.go": other})
    write(pack, {"go.work": "go 1.18\n\nuse .\n\nuse ./own\n"})
    assert bench.run("one", bench.ensure("one", go_proxy="off")) == "hello from the workspace"


@pytest.mark.language("ruby")
def test_the_bundler_configuration_of_a_user_counts_neither_at_the_build_nor_at_the_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write(site.root / "home", {".bundle/config": '---\nBUNDLE_PATH: "/nowhere"\nBUNDLE_WITHOUT: "default"\n'})
    monkeypatch.setenv("HOME", str(home))
    bench = Bench(LANGUAGES["ruby"], site)
    bench.pack("one", "1.0")
    assert bench.run("one", bench.ensure("one")) == "hello from 1.0"


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
