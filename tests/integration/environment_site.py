"""A place with packs and environments, and real recipes, for the tests of isolated environments."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from agent.environments.manager import EnvironmentManager
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from agent.paths import shipped
from agent.runtimes.model import ExecutionConfig
from tests.services.availability import unavailable

SAMPLES = Path(__file__).parent.parent / "packs"
#: This machine's own Python, not the virtual environment that the tests run in.
PYTHON = os.path.realpath(sys.executable)


class Site:
    """Directories of one test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packs = root / "packs"
        self.envs = root / "runtime_envs"
        self.packs.mkdir(parents=True)
        self.manager = self.new_manager()

    def new_manager(self, **changes: Any) -> EnvironmentManager:
        """Return a manager that shares nothing but the disk with the others."""
        known: dict[str, Any] = {"runtime_envs_dir": self.envs, "packs_base_dir": self.packs}
        return EnvironmentManager(**known | changes)

    def pack(self, name: str) -> Path:
        """Copy a sample pack into place, with the wheels that it wants."""
        target = self.packs / name
        shutil.copytree(SAMPLES / name, target)
        if (target / "requirements.txt").exists():
            make_wheel(target / "wheels", "attune_greeting", "1.0", 'TEXT = "hello from 1.0"\n')
        return target

    def request(self, pack: str, config: Mapping[str, Any], **changes: Any) -> EnvironmentRequest:
        """Return a request on this machine's Python."""
        known: dict[str, Any] = {
            "pack_ref": pack,
            "pack_dir": self.packs / pack,
            "dir_name": "python",
            "config": ExecutionConfig.from_json(config),
            "interpreter": PYTHON,
            "interpreter_version": ".".join(str(part) for part in sys.version_info[:3]),
        }
        return EnvironmentRequest(**known | changes)


def core_config(runtime: str) -> dict[str, Any]:
    """Return the configuration that the core pack declares for ``python``, ``nodejs``…"""
    text = (shipped("packs") / "core" / "runtimes" / f"{runtime}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)["execution_config"]
    return config


def quick_config(*install: str, manifest: str = "manifest.txt") -> dict[str, Any]:
    """Return a recipe for a virtual environment without pip, which takes a tenth of a second."""
    return {
        "interpreter": {"binary": "python3"},
        "environment": {
            "env_type": "virtualenv",
            "create_command": ["python3", "-m", "venv", "--copies", "--without-pip", "{env_dir}"],
            "interpreter_path": "{env_dir}/bin/python3",
        },
        "dependencies": {"manifest_file": manifest, "install_command": list(install)},
    }


def pip_config() -> dict[str, Any]:
    """Return the core pack's recipe for Python, with the pip of these tests instead of one in each environment.

    Unpacking pip takes two seconds and is what most tests of an installation are not about.
    """
    config = core_config("python")
    config["environment"]["create_command"].insert(-1, "--without-pip")
    dependencies = config["dependencies"]
    for spec in (dependencies, *dependencies["alternatives"]):
        spec["install_command"] = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            "{interpreter}",
            *spec["install_command"][3:],
        ]
    return config


def share_go_cache(envs: Path) -> None:
    """Let the environments below ``envs`` use what Go has compiled before: its standard library takes half a minute."""
    (envs / ".cache").mkdir(parents=True, exist_ok=True)
    shared = Path.home() / ".cache/go-build"
    shared.mkdir(parents=True, exist_ok=True)
    (envs / ".cache/go-build").symlink_to(shared)


def counting_interpreter(path: Path, log: Path) -> str:
    """Make a Python that notes each of its starts in ``log``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "$*" >> "{log}"\nexec "{PYTHON}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def python_without(path: Path, *missing: str) -> str:
    """Make a real Python whose standard library lacks modules, as Debian's without python3-venv does."""
    import sysconfig

    library = Path(sysconfig.get_path("stdlib"))
    home = path / "lib" / library.name
    home.mkdir(parents=True)
    for entry in library.iterdir():
        if entry.name not in missing:
            (home / entry.name).symlink_to(entry)
    (path / "bin").mkdir()
    shutil.copy2(PYTHON, path / "bin" / "python3")
    return str(path / "bin" / "python3")


def make_wheel(folder: Path, name: str, version: str, source: str) -> Path:
    """Make an installable wheel with one module, file by file as the binary distribution format says (PEP 427)."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def run_in(prepared: PreparedEnvironment, script: Path | str, **env: str) -> str:
    """Run a file, or text of Python, as an action of the environment would run; return its output."""
    words = [str(script)] if isinstance(script, Path) else ["-c", script]
    known = {name: variable.value for name, variable in prepared.env_vars.items()}
    done = subprocess.run(
        [prepared.interpreter, *words],
        env={"PATH": os.environ["PATH"], **known, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def as_json(text: str) -> Any:
    """Read what an action printed."""
    return json.loads(text)


def needs(program: str) -> str:
    """Return the path of ``program`` or skip."""
    found = shutil.which(program)
    if found is None:
        unavailable(program, f"install {program}")
    return found


def _digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
