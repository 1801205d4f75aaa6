"""What a sensor service does when its database hangs, tokens end, sensors fail again and again, or it is killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.db.pool import Database
from agent.presence.alerts import Alert
from agent.sensors.failure_alerts import alert_of
from agent.sensors.model import ProcessRow
from agent.sensors.store import SensorStore
from agent.settings import DatabaseSettings
from tests.integration.sensors.test_sensor_children import is_alive
from tests.integration.sensors.watched import Watched
from tests.services.deployment import Deployment
from tests.services.proxy import database_proxy
from tests.services.waiting import until


@pytest.fixture
def watched(fresh_deployment: Deployment) -> Watched:
    fresh_deployment.settings["TOLD"] = str(fresh_deployment.directory / "told")
    return Watched(fresh_deployment)


@pytest.mark.parametrize("fresh_deployment", ["database"], indirect=True)
def test_a_database_that_does_not_answer_ends_the_sensors_and_one_that_does_again_starts_them(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("cut.it", watched.tells("cut", "$$"))
    deployment.add_rule("cut.rule", "cut.it_1")
    with database_proxy(deployment.database_url) as (proxy, url):
        service = deployment.start_agent("sensors-1", sensors=True, ATTUNE__DATABASE__URL=url)
        until(lambda: watched.lines("cut"), "the sensor running")
        pid = int(watched.lines("cut")[0])

        proxy.pause()
        until(lambda: not is_alive(pid), "the end of the sensor")
        assert service.running
        proxy.accept()

        until(lambda: len(watched.lines("cut")) == 2, "the second life")
        watched.wait("cut.it", "running")
        assert service.stop() == 0
        assert watched.row("cut.it")["status"] == "stopped"


@pytest.mark.parametrize("fresh_deployment", ["database"], indirect=True)
def test_a_sensor_gets_a_new_token_before_its_token_ends(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("token.it", watched.tells("token", '"$ATTUNE_API_TOKEN"'))
    deployment.add_rule("token.rule", "token.it_1")
    service = deployment.start_agent("sensors-1", sensors=True, ATTUNE__SENSOR__ACCESS_LIFETIME="4")

    until(lambda: len(watched.lines("token")) >= 2, "the second token")

    first, second = watched.lines("token")[:2]
    assert first != second
    assert watched.row("token.it")["consecutive_failures"] == 0
    assert service.stop() == 0


@pytest.mark.parametrize("fresh_deployment", ["database"], indirect=True)
def test_what_a_killed_service_left_is_ended_and_said_to_have_ended(watched: Watched, tmp_path: Path) -> None:
    deployment = watched.deployment
    deployment.add_sensor("killed.it", watched.tells("killed", "$$"))
    rule = deployment.add_rule("killed.rule", "killed.it_1")
    service = deployment.start_agent("sensors-1", sensors=True)
    watched.wait("killed.it", "running")
    until(lambda: watched.lines("killed"), "the sensor running")
    pid = int(watched.lines("killed")[0])

    service.kill()
    until(lambda: not is_alive(pid), "the end of the sensor")
    deployment.database.execute("DELETE FROM rule WHERE id = %s", [rule])
    deployment.start_agent("sensors-1", sensors=True)

    row = watched.row("killed.it")
    assert (row["status"], row["pid"], row["meta"]["reason"]) == ("stopped", None, "its service ended")


@pytest.mark.parametrize("fresh_deployment", ["database"], indirect=True)
def test_an_alert_is_an_event_that_rules_can_listen_to(watched: Watched) -> None:
    deployment = watched.deployment
    worker = deployment.insert("worker", {"name": "sensors-1", "worker_type": "local", "worker_role": "sensor"})
    database = Database(DatabaseSettings(url=deployment.database_url), application_name="tests")
    try:
        store = SensorStore(database, worker_id=worker, worker_name="sensors-1")
        row = ProcessRow(7, "fails.it", "backoff", consecutive_failures=3, last_exit_code=1, reason="exit code 1")
        alert: Alert = alert_of(row, 20.0, worker, "sensors-1")
        message = store.alert(alert)
    finally:
        database.close()

    assert message is not None
    event = deployment.one("SELECT * FROM event WHERE trigger_ref = 'core.alert'")
    assert event["source_ref"] == "attune.system"
    payload = event["payload"]
    assert payload["failure_type"] == "sensor_process_repeated_failure"
    assert payload["correlation_id"] == f"sensor:7:worker:{worker}:repeated_failure"
    assert payload["details"]["consecutive_failures"] == 3
    assert payload["details"]["backoff_delay_seconds"] == 20


@pytest.mark.parametrize("fresh_deployment", ["rabbitmq"], indirect=True)
def test_a_second_signal_gives_a_stubborn_sensor_no_time(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor(
        "stubborn.it", "#!/bin/bash\ntrap '' TERM\necho $$ >> \"$TOLD-stubborn\"\nwhile :; do sleep 1; done\n"
    )
    deployment.add_rule("stubborn.rule", "stubborn.it_1")
    service = deployment.start_agent("sensors-1", sensors=True)
    until(lambda: watched.lines("stubborn"), "the sensor running")

    service.process.terminate()
    service.wait_for_log('"message": "stopping"')
    time.sleep(0.3)  # what comes within 0.2 s is one request
    service.process.terminate()

    assert service.wait() == 75
    row = watched.row("stubborn.it")
    assert (row["status"], row["last_signal"]) == ("stopped", 9)


@pytest.mark.parametrize("fresh_deployment", ["database"], indirect=True)
@pytest.mark.parametrize("capabilities", ['["sensor_locks"]', '"sensor_locks"', "5", "true"])
def test_rows_of_other_services_that_hold_anything_at_all_stop_nobody(watched: Watched, capabilities: str) -> None:
    deployment = watched.deployment
    deployment.add_sensor("beside.it", watched.tells("beside", "runs"))
    deployment.add_rule("beside.rule", "beside.it_1")
    with deployment.connect() as other:
        other.execute(
            "WITH made AS (INSERT INTO worker (name, worker_type, worker_role, status, capabilities, last_heartbeat)"
            " VALUES ('odd', 'container', 'sensor', 'active', %s::jsonb, now()) RETURNING id)"
            " SELECT pg_advisory_lock(hashtextextended(current_schema() || '.worker.' || id, 0)) FROM made",
            [capabilities],
        )
        service = deployment.start_agent("sensors-1", sensors=True)

        until(lambda: watched.lines("beside"), "the sensor running")
        assert service.running
        assert "odd is of another make" in service.log()
