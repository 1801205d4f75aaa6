"""Which jars a pom.xml wants for the run of an action."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.environments.backend import BuildSite, Installers
from agent.environments.maven import Maven
from tests.unit.environments.requests import python_request


def missing(tmp_path: Path, pom: str, *, jars: tuple[str, ...] = ()) -> str | None:
    pack, env = tmp_path / "pack", tmp_path / "env"
    request = python_request(pack)
    (pack / "pom.xml").write_text(pom)
    (env / "lib").mkdir(parents=True)
    for name in jars:
        (env / "lib" / name).touch()
    return Maven().check(BuildSite(request, env, pack / "pom.xml", pack, Installers(tmp_path / "cache")))


def dependency(more: str = "") -> str:
    return f"<dependencies><dependency><groupId>a</groupId><artifactId>b</artifactId>{more}</dependency></dependencies>"


@pytest.mark.parametrize(
    "pom",
    [
        f"<project>{dependency()}</project>",
        f'<project xmlns="http://maven.apache.org/POM/4.0.0" x="1">{dependency("<scope> runtime </scope>")}</project>',
        f"<?xml version='1.0'?>\n<!-- c -->\n<project>{dependency('<type>jar</type>')}</project>",
    ],
)
def test_a_dependency_of_the_run_needs_its_jar(tmp_path: Path, pom: str) -> None:
    assert "no jar is in" in str(missing(tmp_path, pom))


def test_one_that_is_there_is_enough(tmp_path: Path) -> None:
    assert missing(tmp_path, f"<project>{dependency()}</project>", jars=("b.jar",)) is None


@pytest.mark.parametrize(
    "pom",
    [
        "<project/>",
        f"<project><!-- {dependency()} --></project>",
        *[f"<project>{dependency(f'<scope>{scope}</scope>')}</project>" for scope in ("test", "provided", "${s}")],
        f"<project>{dependency('<type>pom</type>')}</project>",
        f"<project>{dependency('<optional>true</optional>')}</project>",
        f"<project><dependencyManagement>{dependency()}</dependencyManagement></project>",
        f"<project><build><plugins><plugin>{dependency()}</plugin></plugins></build></project>",
        "",
        "<project>",
        f'<!DOCTYPE p [<!ENTITY a "{"x" * 99}">]><project>{dependency("&a;" * 9)}</project>',
    ],
)
def test_what_no_action_runs_with_needs_none(tmp_path: Path, pom: str) -> None:
    assert missing(tmp_path, pom) is None
