"""One small package from each registry, as the installer finds it by itself; skipped without a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.environments.model import PreparedEnvironment
from agent.errors import EnvironmentFailed
from tests.integration import language_packs as packs
from tests.integration.environment_site import Site
from tests.integration.language_bench import LANGUAGES, Bench

#: What an installer says when it can't reach its registry.
_NO_NETWORK = re.compile(
    r"name resolution|resolve host|Unknown host|no such host|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET"
    r"|[Cc]onnection (?:refused|reset|timed out)|unreachable|i/o timeout|Read timed out|NewConnectionError|ProxyError"
    r"|did not end within|\b(?:403|407|429|502|503|504)\b|Could not transfer",
)
PACKS = {
    "python": {
        "requirements.txt": "iniconfig==2.0.0\n",
        "actions/greet.py": "import importlib.metadata as m, iniconfig; print(m.version('iniconfig'))\n",
    },
    "node": {
        "package.json": '{"dependencies": {"ms": "2.1.3"}}',
        "actions/greet.js": "console.log(require('ms/package.json').version, require('ms')(60000));\n",
    },
    "go": {
        "go.mod": "module example.invalid/pack\n\ngo 1.19\n\nrequire github.com/google/uuid v1.6.0\n",
        "go.sum": "github.com/google/uuid v1.6.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=\n"
        "github.com/google/uuid v1.6.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=\n",
        "actions/greet.go": 'package main\n\nimport (\n\t"fmt"\n\n\t"github.com/google/uuid"\n)\n\n'
        "func main() { fmt.Println(uuid.Nil) }\n",
    },
    "java": {
        "pom.xml": "<project><modelVersion>4.0.0</modelVersion><groupId>invalid.example</groupId>"
        "<artifactId>pack</artifactId><version>1</version><dependencies><dependency><groupId>org.slf4j</groupId>"
        "<artifactId>slf4j-api</artifactId><version>2.0.13</version></dependency></dependencies></project>",
        "actions/Greet.java": "public class Greet { public static void main(String[] a) throws Exception {"
        ' System.out.println(Class.forName("org.slf4j.Logger").getName()); } }\n',
    },
}
SAYS = {
    "python": "2.0.0",
    "node": "2.1.3 1m",
    "go": "00000000-0000-0000-0000-000000000000",
    "java": "org.slf4j.Logger",
}


@pytest.mark.parametrize("language", [pytest.param(name, marks=pytest.mark.language(name)) for name in PACKS])
def test_a_package_of_the_real_registry_is_installed(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_TIMEOUT", "10")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    bench = Bench(LANGUAGES[language], Site(tmp_path))
    packs.write(bench.site.packs / "one", PACKS[language])
    assert bench.run("one", installed(bench)) == SAYS[language]


def installed(bench: Bench) -> PreparedEnvironment:
    """Build, or skip where the registry can't be reached."""
    try:
        return bench.site.new_manager(install_timeout=90).ensure(bench.request("one"))
    except EnvironmentFailed as error:
        if _NO_NETWORK.search(str(error)):
            pytest.skip(f"the registry of {bench.language.name} can't be reached: {str(error).splitlines()[-1]}")
        raise
