"""Packs and images as people really have them: what they need is installed, and nothing else moves."""

from __future__ import annotations

import os
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

from agent.environments.model import PreparedEnvironment
from agent.errors import EnvironmentFailed
from tests.integration.environment_site import (
    Site,
    core_config,
    needs,
    quick_config,
)
from tests.integration.language_bench import LANGUAGES, Bench
from tests.integration.language_packs import read_only, state, write

HELLO = {
    "lib/hello/package.json": '{"name": "hello", "version": "1.0.0"}',
    "lib/hello/index.js": "exports.hi = 'hi';\n",
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
def test_workspaces_are_linked_and_scripts_of_the_installation_find_their_files(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")  # no registry is asked for a workspace's name
    monkeypatch.setenv("npm_config_fetch_retries", "0")
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
