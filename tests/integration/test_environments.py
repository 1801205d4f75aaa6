"""Isolated environments with real interpreters: made once, found again, rebuilt when they must be."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.environments.marker import INSTALLED, MARKER
from agent.environments.scan import scan
from agent.errors import EnvironmentFailed
from tests.integration.environment_site import (
    PYTHON,
    Site,
    as_json,
    core_config,
    counting_interpreter,
    make_wheel,
    needs,
    pip_config,
    python_without,
    quick_config,
    run_in,
    share_go_cache,
)
from tests.services.users import as_user
from tests.services.waiting import calls

MODULE = ("-m", "tests.children.ensure_environment")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_first_use_makes_a_virtualenv_outside_the_pack_and_installs_what_it_declares(site: Site) -> None:
    pack = site.pack("env_python")
    before = sorted(pack.rglob("*"))
    prepared = site.manager.ensure(site.request("env_python", core_config("python")))
    said = as_json(run_in(prepared, pack / "actions" / "greet.py", PYTHONDONTWRITEBYTECODE="1"))
    assert said["greeting"] == "hello from 1.0"
    assert said["executable"].startswith(str(site.envs / "env_python"))
    assert sorted(pack.rglob("*")) == before
    link = site.envs / "env_python" / "python"
    assert (link / "bin" / "python3").exists()
    assert link.resolve() == prepared.env_dir
    assert prepared.path == link
    assert prepared.env_vars["PYTHONPATH"].value == f"{pack}/lib"
    checksum = hashlib.sha256((pack / "requirements.txt").read_bytes()).hexdigest()
    assert (link / INSTALLED).read_text() == checksum
    assert stat.S_IMODE((site.envs / "env_python").stat().st_mode) == 0o2775
    listed = subprocess.run([link / "bin/pip", "list"], capture_output=True, text=True, check=True)
    assert "attune-greeting" in listed.stdout.replace("_", "-"), "programs of the environment find their interpreter"


def test_a_second_use_starts_no_process_and_reads_nothing(site: Site, tmp_path: Path) -> None:
    site.pack("env_plain")
    log = tmp_path / "log"
    request = site.request(
        "env_plain", quick_config("true"), interpreter=counting_interpreter(tmp_path / "bin/python3", log)
    )
    first = site.manager.ensure(request)
    assert calls(lambda: site.manager.ensure(request)) < 100
    assert site.manager.ensure(request) == first
    assert site.new_manager().ensure(request) == first
    assert len(log.read_text().splitlines()) == 1


def test_a_runtime_without_environment_uses_the_machines_interpreter(site: Site) -> None:
    site.pack("env_plain")
    for config in (core_config("shell"), {"environment": {"env_type": "none"}}):
        prepared = site.manager.ensure(site.request("env_plain", config, interpreter="/bin/sh"))
        assert (prepared.env_dir, prepared.interpreter, prepared.warning) == (None, "/bin/sh", None)
    assert not site.envs.exists()


def test_a_pack_that_is_not_on_this_disk_gets_no_environment(site: Site) -> None:
    assert site.manager.ensure(site.request("env_plain", quick_config())).env_dir is None
    site.pack("env_plain")
    assert site.manager.ensure(site.request("env_plain", quick_config())).env_dir is not None


def test_a_pack_without_manifest_still_gets_its_environment(site: Site) -> None:
    pack = site.pack("env_plain")
    prepared = site.manager.ensure(site.request("env_plain", core_config("python")))
    assert prepared.warning is None
    assert run_in(prepared, pack / "actions/where.py") == str(prepared.env_dir)


def test_whether_an_environment_exists_can_be_asked_without_building_it(site: Site) -> None:
    site.pack("env_plain")
    request = site.request("env_plain", quick_config())
    assert site.manager.current(request) is None
    assert not site.envs.exists()
    prepared = site.manager.ensure(request)
    assert site.manager.current(request) == prepared


def test_two_packs_and_two_versions_have_environments_of_their_own(site: Site) -> None:
    site.pack("env_plain")
    site.pack("env_python")
    config = quick_config("true")
    made = {
        site.manager.ensure(site.request("env_plain", config)).env_dir,
        site.manager.ensure(site.request("env_plain", config, dir_name="python-3.11", version="3.11")).env_dir,
        site.manager.ensure(site.request("env_python", config)).env_dir,
    }
    assert len(made) == 3
    assert sorted(name for name in os.listdir(site.envs / "env_plain") if not name.startswith(".")) == [
        "python",
        "python-3.11",
    ]


def test_a_changed_manifest_is_installed_while_the_old_environment_is_still_in_use(site: Site) -> None:
    pack = site.pack("env_python")
    request = site.request("env_python", pip_config())
    old = site.manager.ensure(request)
    with subprocess.Popen(
        [old.interpreter, "-c", "import sys; sys.stdin.read(); import attune_greeting as g; print(g.TEXT)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        make_wheel(pack / "wheels", "attune_greeting", "2.0", 'TEXT = "hello from 2.0"\n')
        manifest = pack / "requirements.txt"
        manifest.write_text(manifest.read_text().replace("==1.0", "==2.0"))
        new = site.manager.ensure(request)
        said, _ = running.communicate(timeout=30)
    assert said.strip() == "hello from 1.0"
    assert run_in(new, "import attune_greeting as g; print(g.TEXT)") == "hello from 2.0"
    assert (site.envs / "env_python/python").resolve() == new.env_dir
    manifest.write_text(manifest.read_text().replace("==2.0", "==1.0"))
    next((pack / "wheels").glob("*2.0*")).unlink()  # it was an input of the newer one
    assert site.manager.ensure(request) == old


def test_an_environment_whose_interpreter_vanished_is_rebuilt(site: Site, tmp_path: Path) -> None:
    site.pack("env_plain")
    request = site.request("env_plain", quick_config())
    first = site.manager.ensure(request)
    Path(first.interpreter).unlink()
    Path(first.interpreter).symlink_to(tmp_path / "absent" / "python3")
    second = site.manager.ensure(request)
    assert second.env_dir != first.env_dir
    assert run_in(second, "print(1)") == "1"


def test_an_upgraded_interpreter_gets_a_new_environment(site: Site) -> None:
    site.pack("env_plain")
    first = site.manager.ensure(site.request("env_plain", quick_config(), interpreter_version="3.11.1"))
    second = site.manager.ensure(site.request("env_plain", quick_config(), interpreter_version="3.11.2"))
    assert first.env_dir != second.env_dir


def test_an_environment_that_another_worker_made_is_replaced_not_trusted(site: Site) -> None:
    site.pack("env_plain")
    foreign = site.envs / "env_plain" / "python"
    foreign.mkdir(parents=True)
    prepared = site.manager.ensure(site.request("env_plain", quick_config()))
    assert foreign.resolve() == prepared.env_dir
    assert run_in(prepared, "print(1)") == "1"


def test_another_worker_that_installs_into_ours_makes_it_stale(site: Site) -> None:
    pack = site.pack("env_plain")
    (pack / "manifest.txt").write_text("a")
    request = site.request("env_plain", quick_config("true"))
    first = site.manager.ensure(request)
    (site.envs / "env_plain/python" / INSTALLED).write_text("0" * 64)
    assert site.manager.ensure(request).env_dir != first.env_dir


def test_removing_link_or_environment_by_hand_is_repaired(site: Site) -> None:
    site.pack("env_plain")
    request = site.request("env_plain", quick_config())
    first = site.manager.ensure(request)
    assert first.path is not None
    first.path.unlink()
    assert site.manager.ensure(request) == first
    assert first.path.is_symlink()
    site.manager.remove("env_plain")
    assert not (site.envs / "env_plain").exists()
    assert site.manager.ensure(request).env_dir != first.env_dir


def test_machines_of_two_kinds_share_a_volume_without_fighting_over_the_link(site: Site) -> None:
    site.pack("env_plain")
    one = site.request("env_plain", quick_config(), interpreter_version="3.11.1")
    two = site.request("env_plain", quick_config(), interpreter_version="3.11.2")
    first, second = site.new_manager().ensure(one), site.new_manager().ensure(two)
    link = site.envs / "env_plain" / "python"
    assert site.new_manager().ensure(one) == first
    assert link.resolve() == second.env_dir


def test_a_python_without_venv_is_used_as_it_is_when_nothing_has_to_be_installed(site: Site, tmp_path: Path) -> None:
    pack = site.pack("env_plain")
    request = site.request(
        "env_plain", core_config("python"), interpreter=python_without(tmp_path / "py", "ensurepip", "venv")
    )
    prepared = site.manager.ensure(request)
    assert prepared.env_dir is None
    assert prepared.interpreter == request.interpreter
    assert "python3-venv" in str(prepared.warning)
    assert site.manager.ensure(request) is prepared
    (pack / "requirements.txt").write_text("anything")
    with pytest.raises(EnvironmentFailed):
        site.manager.ensure(request)


@pytest.mark.parametrize("missing", ["ensurepip", "venv"])
def test_a_python_without_venv_fails_an_execution_with_the_remedy(site: Site, tmp_path: Path, missing: str) -> None:
    site.pack("env_python")
    interpreter = python_without(tmp_path / "py", missing)
    with pytest.raises(EnvironmentFailed, match="apt-get install python3-venv") as caught:
        site.manager.ensure(site.request("env_python", core_config("python"), interpreter=interpreter))
    assert caught.value.step == "create virtualenv"
    assert not list((site.envs / "env_python").glob(".python.*-*"))


def test_a_failed_install_says_what_the_installer_said_and_leaves_nothing(site: Site) -> None:
    pack = site.pack("env_python")
    (pack / "requirements.txt").write_text("--no-index\nattune-does-not-exist==7\n")
    request = site.request("env_python", pip_config())
    with pytest.raises(EnvironmentFailed) as caught:
        site.manager.ensure(request)
    assert caught.value.step == "install dependencies"
    assert "exited with 1" in str(caught.value)
    assert "install -r" in str(caught.value)
    assert "No matching distribution found for attune-does-not-exist==7" in str(caught.value)
    assert not (site.envs / "env_python/python").exists()
    (pack / "requirements.txt").write_text("")
    assert site.manager.ensure(request).env_dir is not None


def test_a_create_command_that_makes_nothing_is_a_failure(site: Site) -> None:
    (site.pack("env_plain") / "manifest.txt").write_text("something\n")
    config = quick_config("true")
    config["environment"]["create_command"] = ["true"]
    with pytest.raises(EnvironmentFailed, match=r"didn't create .*bin/python3"):
        site.manager.ensure(site.request("env_plain", config))


def test_paths_with_spaces_and_shell_characters_stay_paths(tmp_path: Path) -> None:
    site = Site(tmp_path / "a b; $(touch pwned) 'c' \"d\"")
    (site.pack("env_plain") / "manifest.txt").write_text("x")
    config = quick_config(
        "sh", "-c", "cat {manifest_path} > {env_dir}/copy && cp \"{manifest_path}\" '{env_dir}/copy2'"
    )
    prepared = site.manager.ensure(site.request("env_plain", config))
    assert prepared.env_dir is not None
    assert (prepared.env_dir / "copy").read_text() == (prepared.env_dir / "copy2").read_text() == "x"
    assert not list(tmp_path.rglob("pwned"))


def test_a_volume_that_can_not_be_written_is_named_with_the_setting(site: Site) -> None:
    (site.pack("env_plain") / "manifest.txt").write_text("something\n")
    site.envs.mkdir()
    site.envs.chmod(0o555)
    site.packs.chmod(0o755)
    for folder in site.root.parents:
        if folder.stat().st_uid == os.geteuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    site.root.chmod(0o755)
    said = ensure_in_another_process(site, quick_config("true"), user=65534 if os.geteuid() == 0 else None)
    assert "can't use" in said
    assert str(site.envs) in said
    assert "Permission denied" in said


def ensure_in_another_process(site: Site, config: object, *, user: int | None = None, **env: str) -> str:
    """Run the small program that prepares an environment, as another user if asked to."""
    command = [PYTHON, *MODULE, str(site.envs), str(site.packs), "env_plain", json.dumps(config), PYTHON]
    done = subprocess.run(
        command if user is None else as_user(user, command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.removeprefix("ready\n").strip()


@pytest.mark.parametrize("home", [None, "absent"])
def test_no_writable_home_is_needed(site: Site, home: str | None, tmp_path: Path) -> None:
    pack = site.pack("env_plain")
    (pack / "manifest.txt").write_text("x")
    config = quick_config("sh", "-c", 'test -w "$HOME" && echo > "$HOME/proof"')
    said = ensure_in_another_process(site, config, **({} if home is None else {"HOME": str(tmp_path / home)}))
    assert said.startswith(str(site.envs))
    assert (site.envs / ".cache/home/proof").exists()


def test_a_scan_sets_up_what_is_missing_and_never_raises(site: Site) -> None:
    site.pack("env_plain")
    (site.pack("env_python") / "manifest.txt").write_text("something\n")
    requests = [
        site.request("env_plain", quick_config()),
        site.request("env_python", quick_config("sh", "-c", "echo no luck >&2; exit 3")),
        site.request("gone", quick_config()),
        site.request("env_plain", core_config("shell"), dir_name="shell"),
    ]
    summary = scan(site.manager, requests)
    assert summary.created == ["env_plain/python"]
    assert summary.skipped == ["gone/python", "env_plain/shell"]
    assert len(summary.errors) == 1
    assert "no luck" in summary.errors[0]
    assert scan(site.new_manager(), requests[:1]).skipped == ["env_plain/python"]


def test_a_scan_notices_a_local_package_that_changed_without_its_manifest(site: Site) -> None:
    pack = site.pack("env_node")
    request = site.request(
        "env_node",
        core_config("nodejs"),
        dir_name="node",
        interpreter=needs("node"),
    )
    needs("npm")
    first = site.manager.ensure(request)
    assert run_in(first, pack / "actions/greet.js") == "hello from 1.0.0"
    (pack / "lib/greeting/index.js").write_text('module.exports = "changed";')
    assert scan(site.manager, [request]).created == ["env_node/node"]
    assert run_in(site.manager.ensure(request), pack / "actions/greet.js") == "changed"
    assert run_in(first, pack / "actions/greet.js") == "hello from 1.0.0"


def test_node_packages_live_outside_the_pack(site: Site) -> None:
    needs("npm")
    pack = site.pack("env_node")
    before = sorted(pack.rglob("*"))
    prepared = site.manager.ensure(
        site.request("env_node", core_config("nodejs"), dir_name="node", interpreter=needs("node"))
    )
    assert run_in(prepared, pack / "actions/greet.js") == "hello from 1.0.0"
    assert prepared.env_vars["NODE_PATH"].value == f"{prepared.env_dir}/node_modules"
    assert sorted(pack.rglob("*")) == before


def test_the_references_own_node_recipe_works_too(site: Site) -> None:
    needs("npm")
    pack = site.pack("env_node")
    config = core_config("nodejs")
    config["environment"]["create_command"] = [
        "sh",
        "-c",
        "mkdir -p {env_dir} && cp {manifest_path} {env_dir}/ 2>/dev/null || true",
    ]
    prepared = site.manager.ensure(site.request("env_node", config, dir_name="node", interpreter=needs("node")))
    assert run_in(prepared, pack / "actions/greet.js") == "hello from 1.0.0"


def test_a_machine_with_node_alone_is_told_that_npm_is_missing(site: Site, tmp_path: Path) -> None:
    site.pack("env_node")
    lonely = tmp_path / "bin"
    lonely.mkdir()
    for name in ("node", "sh", "mkdir", "cp"):
        (lonely / name).symlink_to(needs(name))
    request = site.request("env_node", core_config("nodejs"), dir_name="node", interpreter=str(lonely / "node"))
    path = os.environ["PATH"]
    os.environ["PATH"] = str(lonely)
    try:
        with pytest.raises(EnvironmentFailed, match="node but no npm") as caught:
            site.manager.ensure(request)
    finally:
        os.environ["PATH"] = path
    assert caught.value.step == "install dependencies"


def test_a_lock_file_that_the_installer_writes_does_not_build_twice(site: Site) -> None:
    pack = site.pack("env_plain")
    (pack / "Gemfile").write_text('gem "x"\n')
    config = {
        "environment": {"env_type": "tree", "create_command": ["mkdir", "-p", "{env_dir}/gems"]},
        "dependencies": {
            "manifest_file": "Gemfile",
            "install_command": ["sh", "-c", "echo x > Gemfile.lock"],
            "check_command": ["true"],
        },
    }
    first = site.manager.ensure(site.request("env_plain", config, dir_name="ruby"))
    assert not (pack / "Gemfile.lock").exists()
    assert site.manager.ensure(site.request("env_plain", config, dir_name="ruby")) == first
    assert site.new_manager().ensure(site.request("env_plain", config, dir_name="ruby")) == first


def test_the_marker_is_written_last(site: Site) -> None:
    (site.pack("env_plain") / "manifest.txt").write_text("something\n")
    seen = site.root / "seen"
    config = quick_config("sh", "-c", f'ls -a "{{env_dir}}" > "{seen}"')
    prepared = site.manager.ensure(site.request("env_plain", config))
    assert MARKER not in seen.read_text()
    assert MARKER in os.listdir(prepared.env_dir or "")


def test_a_kind_without_code_of_its_own_is_made_by_its_declared_commands(site: Site) -> None:
    pack = site.pack("env_go")
    site.pack("env_plain")
    go = needs("go")
    share_go_cache(site.envs)
    prepared = site.manager.ensure(
        site.request("env_go", core_config("go"), dir_name="go", interpreter=go, interpreter_version="1")
    )
    assert prepared.interpreter == go
    assert prepared.env_vars["GOPATH"].value == str(prepared.env_dir)
    plain = site.manager.ensure(
        site.request("env_plain", core_config("go"), dir_name="go", interpreter=go, interpreter_version="1")
    )
    assert plain.env_dir is not None
    for each in (prepared, plain):
        assert each.env_vars["GOCACHE"].value == f"{site.envs}/.cache/go-build", "packs share what was compiled"
    done = subprocess.run(
        [go, "run", pack / "actions/greet.go"],
        cwd=pack,
        env={"PATH": os.environ["PATH"], **{name: each.value for name, each in prepared.env_vars.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "hello from 1.0.0\n", done.stderr


def test_variables_that_point_into_a_missing_environment_are_left_out(site: Site) -> None:
    site.pack("env_plain")
    config = core_config("go")
    config["environment"]["create_command"] = ["false"]
    config["env_vars"]["KEPT"] = "{pack_dir}"
    prepared = site.manager.ensure(site.request("env_plain", config, dir_name="go", interpreter="/bin/sh"))
    assert prepared.warning is not None
    assert {name: each.value for name, each in prepared.env_vars.items()} == {
        "KEPT": str(site.packs / "env_plain"),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
    }
