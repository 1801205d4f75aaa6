"""Every language installs what its pack declares, isolated from other packs and from what the image says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import EnvironmentFailed
from agent.runtimes.model import ExecutionConfig
from tests.integration import language_packs as packs
from tests.integration.environment_site import Site
from tests.integration.language_bench import LANGUAGES, Bench


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.language(name)) for name in LANGUAGES])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(LANGUAGES[request.param], Site(tmp_path))
    for name, value in made.hostile.items():
        monkeypatch.setenv(name, value)
    return made


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


#: Has nothing to install where all that it needs lies in the pack.
NOTHING_TO_INSTALL = ("go",)


@pytest.mark.parametrize(
    "language",
    [pytest.param(name, marks=pytest.mark.language(name)) for name in LANGUAGES if name not in NOTHING_TO_INSTALL],
)
def test_an_installer_that_ends_with_0_and_did_nothing_does_not_pass(language: str, tmp_path: Path) -> None:
    bench = Bench(LANGUAGES[language], Site(tmp_path))
    pack = bench.pack("one", "1.0")
    if language == "ruby":  # a gem that lies in the pack needs no installation
        packs.write(pack, {"Gemfile": 'source "https://gems.invalid"\ngem "greeting"\n'})
    config = bench.config()
    command = config["dependencies"]["install_command"]
    config["dependencies"]["install_command"] = [*command, "--dry-run"] if language == "python" else ["true"]
    with pytest.raises(EnvironmentFailed) as caught:
        bench.site.manager.ensure(replace(bench.request("one"), config=ExecutionConfig.from_json(config)))
    assert caught.value.step == "check what was installed", str(caught.value)
    assert not list((bench.site.envs / "one").glob(f".{language}.*-*"))
