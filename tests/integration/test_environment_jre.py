"""A Java without compiler, made by jlink: an action runs all the same, or fails with what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.environments.compiled import CompiledActions
from agent.environments.model import PreparedEnvironment
from agent.errors import EnvironmentFailed
from agent.execution.outcome.error_line import error_line
from tests.integration.environment_site import Site, core_config, needs
from tests.integration.language_bench import LANGUAGES, Bench
from tests.integration.language_packs import write
from tests.services.availability import unavailable

pytestmark = pytest.mark.language("java")

#: What Maven itself needs; neither java.compiler nor jdk.compiler.
MODULES = "java.base,java.logging,java.xml,java.naming,java.sql,java.management,java.desktop,jdk.unsupported"


@pytest.fixture(scope="module")
def jre(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a runtime with the modules above."""
    home = tmp_path_factory.mktemp("jre") / "jre"
    jlink = os.path.realpath(needs("jlink"))
    command = [jlink, "--add-modules", MODULES, "--strip-debug", "--output", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        unavailable("a Java that jlink can take apart", f"{done.stdout}{done.stderr}"[-300:])
    return home


@pytest.fixture
def bench(tmp_path: Path, jre: Path) -> Bench:
    made = Bench(LANGUAGES["java"], Site(tmp_path))
    shutil.copytree(jre, tmp_path / "jre")
    made.interpreter = str(tmp_path / "jre/bin/java")
    return made


def action(bench: Bench) -> Path:
    """Write a pack that needs no library; return its action."""
    text = 'public class Greet { public static void main(String[] a) { System.out.println("hi"); } }\n'
    return write(bench.site.packs / "one", {"actions/Greet.java": text}) / "actions/Greet.java"


def test_the_compiler_of_another_java_writes_what_this_one_can_run(bench: Bench) -> None:
    action(bench)
    release = bench.site.root / "jre/release"
    major = int(release.read_text().split('JAVA_VERSION="')[1].split(".")[0])
    assert major > 11, "a test needs a newer compiler than the Java that this one says it is"
    release.write_text('JAVA_VERSION="11.0.2"\n')
    assert bench.run("one", bench.ensure("one")) == "hi"
    (made,) = (bench.site.envs / "one").glob(".java.compiled/*/Greet.class")
    assert int.from_bytes(made.read_bytes()[6:8]) == 55, "Java 11's form"


def test_without_any_compiler_the_action_fails_with_the_remedy(bench: Bench) -> None:
    script = action(bench)
    container = {**os.environ, "PATH": str(bench.site.root / "jre/bin")}
    compiled = CompiledActions(bench.site.envs, timeout=60, container=container)
    prepared = PreparedEnvironment(None, None, bench.interpreter, {})
    request = bench.site.request("one", core_config("java"), dir_name="java", interpreter=bench.interpreter)
    assert compiled.command(request, prepared, str(script)) is None
    done = subprocess.run([bench.interpreter, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "apt-get install default-jdk-headless" in str(error_line(done.stderr)), done.stderr


def test_a_pack_whose_own_classes_have_to_be_compiled_fails_with_the_remedy(bench: Bench) -> None:
    needs("mvn")
    bench.pack("one", "1.0")
    with pytest.raises(EnvironmentFailed) as caught:
        bench.ensure("one")
    assert caught.value.step == "install dependencies"
    assert caught.value.hint == (
        f"{bench.interpreter} is a Java without compiler; on Debian and Ubuntu: apt-get install default-jdk-headless"
    )
    assert f"({caught.value.hint})" in str(caught.value)
