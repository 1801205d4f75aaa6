"""The one-file agent as a sensor service: by a word, or by its name; its own timer runs as a sensor of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sensors.watched import Watched
from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.agent_process import AgentProcess
from tests.services.deployment import running_deployment
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with running_deployment(request, "database") as deployment:
        deployment.settings["TOLD"] = str(deployment.directory / "told")
        opened = open_site(deployment)
        try:
            yield opened
        finally:
            close_site(opened)


def test_under_its_other_name_it_runs_sensors_of_packs_and_its_own_timer(
    site: Site, agent_file: Path, tmp_path: Path
) -> None:
    deployment = site.deployment
    watched = Watched(deployment)
    deployment.add_sensor("frozen.it", watched.tells("frozen"))
    deployment.add_rule("frozen.rule", "frozen.it_1")
    deployment.add_rule("frozen.tick", "core.intervaltimer", trigger_params={"interval": 1, "unit": "seconds"})
    called = tmp_path / "attune-sensor-agent"
    called.symlink_to(agent_file)
    log = tmp_path / "log"
    environment = deployment.environment | {"ATTUNE_API_URL": site.server.url}
    with log.open("wb") as file:
        process = subprocess.Popen([called, "--name", "sensors-1"], env=environment, stderr=file, cwd=tmp_path)
    service = AgentProcess("sensors-1", process, log)
    try:
        deployment.wait_active(service)
        watched.wait("frozen.it", "running")
        ticks = "SELECT count(*) AS number FROM event WHERE trigger_ref = 'core.intervaltimer'"
        until(lambda: deployment.one(ticks)["number"] >= 2, "two ticks")
        row = deployment.one("SELECT worker_role::text AS role, capabilities FROM worker WHERE name = 'sensors-1'")
        assert (row["role"], row["capabilities"]["agent_binary_name"]) == ("sensor", "attune-sensor-agent")
        health = subprocess.run([agent_file, "health"], capture_output=True, text=True, check=False)
        assert health.returncode == 0, health.stderr
        assert service.stop() == 0
    finally:
        service.kill()
    assert watched.row("core.timer_sensor")["status"] == "stopped"


def test_the_word_and_the_name_mean_the_same(agent_file: Path, tmp_path: Path) -> None:
    called = tmp_path / "attune-sensor-agent"
    called.symlink_to(agent_file)
    outputs = {
        subprocess.run([*command, "--detect-only", "--json"], capture_output=True, text=True, check=True).stdout
        for command in ([agent_file, "sensor"], [called])
    }
    assert len(outputs) == 1
    assert list(json.loads(outputs.pop())["env"]) == ["ATTUNE_SENSOR_RUNTIMES"]
