"""One language in one image: its pack, its recipe, its action run as an execution would run it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.environments.compiled import CompiledActions
from agent.environments.manager import EnvironmentManager
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from agent.runtimes.model import ExecutionConfig
from agent.settings import NetworkSettings
from tests.integration import language_packs as packs
from tests.integration.environment_site import PYTHON, Site, core_config, needs, pip_config, share_go_cache


@dataclass(frozen=True)
class Language:
    """``hostile`` are variables of an image that would make installer or interpreter look elsewhere.

    ``home`` are files of its user's home that would.
    """

    name: str
    runtime: str
    interpreter: str
    make: Callable[[Path, str], Path]
    action: str
    hostile: Mapping[str, str] = field(default_factory=dict)
    mirror: str | None = None
    home: Mapping[str, str] = field(default_factory=dict)


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
                "PIP_ROOT": "{elsewhere}/r",
                "PIP_REQUIRE_VIRTUALENV": "1",
                "PIP_NO_DEPS": "1",
                "PIP_DRY_RUN": "1",
                "UV_PYTHON": "/other/python",
                "UV_SYSTEM_PYTHON": "1",
                "PYTHONUSERBASE": "{elsewhere}/u",
                "PYTHONPATH": "{elsewhere}/x",
                "PYTHONHOME": "/other/python",
                "VIRTUAL_ENV": "/other",
            },
            home={".config/pip/pip.conf": "[global]\ntarget = {elsewhere}/c\n", ".pydistutils.cfg": "[x\n"},
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
                "npm_config_production": "true",
                "npm_config_dry_run": "true",
                "npm_config_package_lock_only": "true",
            },
            home={".npmrc": "global=true\nprefix={elsewhere}/n\nomit=dev\ndry-run=true\npackage-lock-only=true\n"},
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
                "BUNDLE_WITHOUT": "default",
                "BUNDLE_APP_CONFIG": "{elsewhere}/b",
                "BUNDLE_BIN": "{elsewhere}/bin",
                "GEM_HOME": "{elsewhere}/g",
                "GEM_PATH": "{elsewhere}/g",
                "RUBYLIB": "{elsewhere}",
                "RUBYOPT": "-rnosuchthing",
            },
            home={".bundle/config": '---\nBUNDLE_PATH: "{elsewhere}/h"\nBUNDLE_WITHOUT: "default"\n'},
        ),
        Language(
            "go",
            "go",
            "go",
            packs.go_pack,
            "greet.go",
            {
                "GOFLAGS": "-mod=vendor",
                "GO111MODULE": "off",
                "GOPATH": "{elsewhere}",
                "GOTOOLCHAIN": "go9.9.9",
                "GOMODCACHE": "{elsewhere}/m",
                "GOCACHE": "off",
                "GOBIN": "{elsewhere}/b",
                "GOWORK": "/other/go.work",
                "GOENV": "/other/env",
                "GOROOT": "/other/go",
                "GOOS": "plan9",
                "GOARCH": "arm",
            },
            home={".config/go/env": "GOFLAGS=-mod=vendor\nGOPATH={elsewhere}/h\nGOOS=plan9\n"},
        ),
        Language(
            "java",
            "java",
            "java",
            packs.java_pack,
            "Greet.java",
            {
                "CLASSPATH": "{elsewhere}",
                "JAVA_TOOL_OPTIONS": "-Dattune=1",
                "JAVA_HOME": "/other/java",
                "MAVEN_ARGS": "--version",
                "MAVEN_CONFIG": "{elsewhere}/c",
                "MAVEN_OPTS": "-Xmx256m -Dmaven.repo.local={elsewhere}/m -DoutputDirectory={elsewhere}/o",
            },
            mirror="maven_mirror",
            home={".m2/settings.xml": "<settings><localRepository>{elsewhere}/h</localRepository></settings>"},
        ),
        Language(
            "perl",
            "perl",
            "perl",
            packs.perl_pack,
            "greet.pl",
            {
                "PERL_MM_OPT": "INSTALL_BASE={elsewhere}",
                "PERL_MB_OPT": "--install_base {elsewhere}",
                "PERL5LIB": "{elsewhere}",
                "PERLLIB": "{elsewhere}",
                "PERL_LOCAL_LIB_ROOT": "{elsewhere}",
                "PERL_CPANM_OPT": "-L {elsewhere}/c",
            },
            mirror="cpan_mirror",
        ),
        Language(
            "r",
            "r",
            "Rscript",
            packs.r_pack,
            "greet.R",
            {
                "R_LIBS": "{elsewhere}",
                "R_LIBS_USER": "{elsewhere}/u",
                "R_LIBS_SITE": "{elsewhere}/s",
                "R_PROFILE_USER": "{elsewhere}/profile",
                "R_ENVIRON_USER": "{elsewhere}/environ",
                "R_DEFAULT_PACKAGES": "nosuchthing",
                "RENV_PROJECT": "/other",
                "RENV_PATHS_CACHE": "{elsewhere}/c",
            },
            home={".Rprofile": "stop('a profile')\n", ".Renviron": "R_LIBS={elsewhere}/h\nR_LIBS_USER={elsewhere}/h\n"},
        ),
        Language("php", "", "php", packs.php_pack, "greet.php"),
    )
}


#: The setting that names an index, and a pack that wants of it what it can't have.
UNREACHABLE: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "python": ("python_index", {"requirements.txt": "nosuch-thing==1.0\n"}),
    "node": ("npm_registry", {"package.json": '{"dependencies": {"nosuch-thing": "1.0.0"}}'}),
    "ruby": ("gem_mirror", {"Gemfile": 'source "https://gems.invalid"\ngem "nosuch-thing"\n'}),
    "go": (
        "go_proxy",
        {
            "go.mod": "module a.invalid/b\n\ngo 1.18\n\nrequire example.invalid/nosuch-thing v1.0.0\n",
            "go.sum": "example.invalid/nosuch-thing v1.0.0/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        },
    ),
    "java": (
        "maven_mirror",
        {
            "pom.xml": "<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>b</artifactId>"
            "<version>1</version><dependencies><dependency><groupId>a</groupId><artifactId>nosuch-thing</artifactId>"
            "<version>1</version></dependency></dependencies></project>"
        },
    ),
    "perl": ("cpan_mirror", {"cpanfile": "requires 'Nosuch::Thing';\n"}),
    "r": (
        "cran_mirror",
        {"renv.lock": json.dumps({"R": {"Version": "4.2.2"}, "Packages": {"nosuch": {"Version": "1.0"}}})},
    ),
}


def uv_program() -> str:
    """Return where uv is: beside the Python of these tests, else on PATH."""
    beside = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return shutil.which("uv", path=beside) or needs("uv")


class Bench:
    """One language in one image."""

    def __init__(self, language: Language, site: Site) -> None:
        self.language, self.site = language, site
        self.elsewhere = site.root / "elsewhere"
        (self.elsewhere / "x").mkdir(parents=True)
        self.interpreter = needs(language.interpreter)
        if language.name == "go":
            share_go_cache(site.envs)
        self.lines: list[str] = []

    @property
    def hostile(self) -> dict[str, str]:
        """What an unfriendly image says; its user's home is written."""
        home = self.site.root / "home"
        files = {name: text.replace("{elsewhere}", str(self.elsewhere)) for name, text in self.language.home.items()}
        packs.write(home, files)
        said = {name: value.format(elsewhere=self.elsewhere) for name, value in self.language.hostile.items()}
        return {"HOME": str(home), **said}

    def config(self) -> dict[str, Any]:
        """Return a configuration that the test may change."""
        if self.language.name == "python":
            return pip_config()
        return core_config(self.language.runtime) if self.language.runtime else copy.deepcopy(packs.PHP)

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

    def manager(self, name: str, **network: str) -> EnvironmentManager:
        """Return a new manager; ``network`` is how installers reach indexes, by default the own ones of a pack."""
        mirror = {
            "maven_mirror": f"file://{self.site.packs}/{name}-repo",
            "cpan_mirror": f"file://{self.site.packs}/{name}/mirror",
        }
        chosen = {self.language.mirror: mirror[self.language.mirror]} if self.language.mirror else {}
        return self.site.new_manager(network=NetworkSettings(**(network or chosen)))

    def ensure(self, name: str, **network: str) -> PreparedEnvironment:
        """Build the environment of a pack."""
        return self.manager(name, **network).ensure(self.request(name))

    def start(self, name: str, prepared: PreparedEnvironment) -> subprocess.Popen[str]:
        """Start the action as an execution would."""
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
        pipe = subprocess.PIPE
        folder = self.site.packs / name
        return subprocess.Popen(command, env=env, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def run(self, name: str, prepared: PreparedEnvironment) -> str:
        """Run the action as an execution would; return its output."""
        with self.start(name, prepared) as running:
            return self.end(running)

    @staticmethod
    def end(running: subprocess.Popen[str], said: str = "") -> str:
        """Give a started action its input, if there is any; return what it wrote before its end."""
        output, errors = running.communicate(said, timeout=120)
        assert running.returncode == 0, errors
        return output.strip().rstrip("!")
