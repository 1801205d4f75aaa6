"""Every language installs what its pack declares, isolated from other packs and from what the image says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.environments.compiled import CompiledActions
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from agent.runtimes.model import ExecutionConfig
from agent.settings import NetworkSettings
from tests.integration import language_packs as packs
from tests.integration.environment_site import PYTHON, Site, core_config, needs, pip_config, share_go_cache


@dataclass(frozen=True)
class Language:
    """``hostile`` are variables of an image that would make installer or interpreter look elsewhere."""

    name: str
    runtime: str
    interpreter: str
    make: Callable[[Path, str], Path]
    action: str
    hostile: Mapping[str, str] = field(default_factory=dict)
    mirror: str | None = None


LANGUAGES = {
    language.name: language
    for language in (
        Language(
            "python",
            "python",
            PYTHON,
            packs.python_pack,
            "greet.py",
            {
                "PIP_TARGET": "{elsewhere}/t",
                "PIP_USER": "1",
                "PIP_PREFIX": "{elsewhere}/p",
                "PYTHONPATH": "{elsewhere}/x",
                "PYTHONHOME": "/other/python",
                "VIRTUAL_ENV": "/other",
            },
        ),
        Language(
            "node",
            "nodejs",
            "node",
            packs.node_pack,
            "greet.js",
            {
                "NODE_ENV": "production",
                "NODE_PATH": "{elsewhere}",
                "npm_config_prefix": "{elsewhere}",
                "NPM_CONFIG_GLOBAL": "true",
                "npm_config_omit": "dev",
            },
        ),
        Language(
            "ruby",
            "ruby",
            "ruby",
            packs.ruby_pack,
            "greet.rb",
            {
                "BUNDLE_PATH": "{elsewhere}",
                "BUNDLE_DEPLOYMENT": "true",
                "BUNDLE_FROZEN": "1",
                "BUNDLE_GEMFILE": "/other/Gemfile",
                "GEM_HOME": "{elsewhere}/g",
                "RUBYOPT": "-rnosuchthing",
            },
        ),
        Language(
            "go",
            "go",
            "go",
            packs.go_pack,
            "greet.go",
            {"GOFLAGS": "-mod=vendor", "GO111MODULE": "off", "GOPATH": "{elsewhere}", "GOTOOLCHAIN": "go9.9.9"},
        ),
        Language(
            "java",
            "java",
            "java",
            packs.java_pack,
            "Greet.java",
            {"CLASSPATH": "{elsewhere}", "JAVA_TOOL_OPTIONS": "-Dattune=1", "MAVEN_ARGS": "--version"},
            mirror="maven_mirror",
        ),
        Language(
            "perl",
            "perl",
            "perl",
            packs.perl_pack,
            "greet.pl",
            {
                "PERL_MM_OPT": "INSTALL_BASE={elsewhere}",
                "PERL5LIB": "{elsewhere}",
                "PERL_CPANM_OPT": "--skip-satisfied",
            },
            mirror="cpan_mirror",
        ),
        Language(
            "r", "r", "Rscript", packs.r_pack, "greet.R", {"R_LIBS": "{elsewhere}", "R_LIBS_USER": "{elsewhere}/u"}
        ),
        Language("php", "", "php", packs.php_pack, "greet.php"),
    )
}


class Bench:
    """One language in one image."""

    def __init__(self, language: Language, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.language, self.site = language, site
        self.elsewhere = site.root / "elsewhere"
        (self.elsewhere / "x").mkdir(parents=True)
        for name, value in language.hostile.items():
            monkeypatch.setenv(name, value.format(elsewhere=self.elsewhere))
        self.interpreter = needs(language.interpreter)
        if language.name == "go":
            share_go_cache(site.envs)
        self.lines: list[str] = []

    def config(self) -> dict[str, Any]:
        if self.language.name == "python":
            return pip_config()
        return core_config(self.language.runtime) if self.language.runtime else packs.PHP

    def pack(self, name: str, version: str) -> Path:
        return self.language.make(self.site.packs / name, version)

    def request(self, name: str) -> EnvironmentRequest:
        return self.site.request(
            name,
            self.config(),
            dir_name=self.language.name,
            interpreter=self.interpreter,
            interpreter_version=None,
            progress=self.lines.append,
        )

    def ensure(self, name: str) -> PreparedEnvironment:
        mirror = {
            "maven_mirror": f"file://{self.site.packs}/{name}-repo",
            "cpan_mirror": f"file://{self.site.packs}/{name}/mirror",
        }
        chosen = {self.language.mirror: mirror[self.language.mirror]} if self.language.mirror else {}
        manager = self.site.new_manager(network=NetworkSettings(**chosen))
        return manager.ensure(self.request(name))

    def run(self, name: str, prepared: PreparedEnvironment) -> str:
        """Run the action as an execution would; return its output."""
        request = self.request(name)
        script = str(self.site.packs / name / "actions" / self.language.action)
        compiled = CompiledActions(self.site.envs, timeout=120, container=dict(os.environ))
        config = ExecutionConfig.from_json(self.config())
        plain = (prepared.interpreter, *prepared.arguments, *config.interpreter.args, script)
        env = {key: value for key, value in os.environ.items() if key not in prepared.unset}
        env |= {key: variable.value for key, variable in prepared.env_vars.items()}
        if self.language.name == "php":
            plain = (prepared.interpreter, "-d", f"include_path={prepared.env_dir}/lib", script)
        command = compiled.command(request, prepared, script) or plain
        done = subprocess.run(
            command, env=env, cwd=self.site.packs / name, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().rstrip("!")


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.language(name)) for name in LANGUAGES])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(LANGUAGES[request.param], Site(tmp_path), monkeypatch)


def test_two_packs_with_conflicting_versions_run_side_by_side_in_a_hostile_image(bench: Bench) -> None:
    made = {}
    for name, version in (("one", "1.0"), ("two", "2.0")):
        pack = packs.read_only(bench.pack(name, version))
        before = packs.state(pack)
        made[name] = bench.ensure(name)
        assert packs.state(pack) == before, "the pack must stay untouched"
        assert bench.ensure(name).env_dir == made[name].env_dir, "nothing is rebuilt at the next start"
    assert bench.run("one", made["one"]) == "hello from 1.0"
    assert bench.run("two", made["two"]) == "hello from 2.0"
    assert [line.split(" ")[0] for line in bench.lines[:2]] == ["building", "built"]
    assert sorted(bench.elsewhere.rglob("*")) == [bench.elsewhere / "x"]
