"""Fingerprints: everything that decides what gets installed changes them, nothing else does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agent.environments.declared import Declared
from agent.environments.elf import binary_format
from agent.environments.fingerprint import Fingerprint, fingerprint_of
from agent.environments.node_modules import NodeModules
from agent.environments.venv import Virtualenv
from agent.errors import EnvironmentFailed
from agent.runtimes.model import DependencySpec, ExecutionConfig
from tests.unit.environments.requests import python_request

NODE = ExecutionConfig(dependencies=DependencySpec("package.json", ("npm", "install")))


def digest(pack: Path) -> str:
    return fingerprint_of(python_request(pack), Virtualenv()).digest


def node(pack: Path) -> Fingerprint:
    return fingerprint_of(python_request(pack, config=NODE), NodeModules())


def test_the_same_inputs_give_the_same_digest(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("a==1\n")
    assert digest(tmp_path) == digest(tmp_path)


def test_the_manifest_and_its_disappearance_change_the_digest(tmp_path: Path) -> None:
    manifest, seen = tmp_path / "requirements.txt", set[str]()
    for content in ("a==1\n", "a==2\n", ""):
        manifest.write_text(content)
        seen.add(digest(tmp_path))
    manifest.unlink()
    assert digest(tmp_path) not in seen
    assert len(seen) == 3


def test_an_unrelated_file_of_the_pack_changes_nothing(tmp_path: Path) -> None:
    before = digest(tmp_path)
    (tmp_path / "README.md").write_text("hello")
    assert digest(tmp_path) == before


def test_interpreter_version_and_recipe_change_the_digest(tmp_path: Path) -> None:
    request = python_request(tmp_path)
    assert request.config.environment is not None
    recipe = dataclasses.replace(request.config.environment, create_command=("uv", "venv", "{env_dir}"))
    variants = [
        request,
        dataclasses.replace(request, interpreter_version="3.11.9"),
        dataclasses.replace(request, interpreter="/usr/bin/env"),
        dataclasses.replace(request, config=dataclasses.replace(request.config, environment=recipe)),
        dataclasses.replace(request, pack_dir=tmp_path / "moved"),
    ]
    assert len({fingerprint_of(variant, Virtualenv()).digest for variant in variants}) == len(variants)


def test_included_requirements_count(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "-r more/base.txt\n--constraint=limits.txt\n-r /etc/passwd\n-r gone.txt\n"
    )
    (tmp_path / "more").mkdir()
    base, limits = tmp_path / "more/base.txt", tmp_path / "limits.txt"
    base.write_text("-r ../requirements.txt\na==1\n")
    limits.write_text("a<2\n")
    before = digest(tmp_path)
    base.write_text("a==1.1\n")
    between = digest(tmp_path)
    limits.write_text("a<3\n")
    assert len({before, between, digest(tmp_path)}) == 3


def test_the_content_of_a_local_package_counts(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("greeting @ file:./lib/greeting\n")
    (tmp_path / "lib/greeting").mkdir(parents=True)
    source = tmp_path / "lib/greeting/greeting.py"
    source.write_text("A = 1")
    before = digest(tmp_path)
    source.write_text("A = 2")
    assert digest(tmp_path) != before


def test_lock_files_and_local_packages_of_node_count(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"dependencies": {"greeting": "file:lib/greeting"}}')
    (tmp_path / "lib/greeting/node_modules").mkdir(parents=True)
    seen = {node(tmp_path).digest}
    for name in ("package-lock.json", ".npmrc", "lib/greeting/index.js"):
        (tmp_path / name).write_text("x")
        seen.add(node(tmp_path).digest)
    (tmp_path / "lib/greeting/node_modules/junk.js").write_text("x")
    seen.add(node(tmp_path).digest)
    assert len(seen) == 4


def test_a_lock_file_written_by_the_installer_is_told_from_a_changed_manifest(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    before = node(tmp_path)
    (tmp_path / "package-lock.json").write_text("{}")
    assert node(tmp_path).differs_by_new_lock_files_only(before)
    (tmp_path / "package.json").write_text('{"name": "x"}')
    assert not node(tmp_path).differs_by_new_lock_files_only(before)


def test_the_checksum_is_the_one_that_other_workers_compare(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"abc")
    checksum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint_of(python_request(tmp_path), Virtualenv()).manifest_checksum == checksum


@pytest.mark.parametrize("manifest", ["../outside.txt", "link.txt"])
def test_a_manifest_outside_the_pack_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "outside.txt").write_text("a")
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "link.txt").symlink_to(tmp_path / "outside.txt")
    config = ExecutionConfig(dependencies=DependencySpec(manifest))
    with pytest.raises(EnvironmentFailed, match="outside the pack"):
        fingerprint_of(python_request(pack, config=config), Declared())


def test_the_machine_is_read_from_the_program_itself() -> None:
    import os
    import sys

    machine = binary_format(os.path.realpath(sys.executable))
    assert machine.architecture == os.uname().machine
    assert machine.libc == "musl" or machine.libc.startswith("glibc-2.")


def test_a_script_is_described_by_the_shell_of_its_machine(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\n")
    assert binary_format(str(tmp_path / "python3")) == binary_format("/bin/sh")
