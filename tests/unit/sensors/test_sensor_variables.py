"""The environment of a sensor: the documented variables, the container's own, nothing of the service or of others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from agent.runtimes.model import EnvVar
from agent.sensors.sensor_variables import MARK, SensorSite, sensor_variables
from tests.unit.sensors.test_claiming import SENSOR

SITE = SensorSite("http://server:8080", "/artifacts", "/envs", None)
TOLD = replace(SENSOR, instances='[{"id": 1}]', config={"depth": 3}, config_text='{"depth": 3}')


def variables(**changes: object) -> dict[str, str]:
    given = {"token": "t", "mark": "x.1", "absent_since": None} | changes
    container = given.pop("container", {"PATH": "/bin"})
    site, env_vars = given.pop("site", SITE), given.pop("env_vars", {})
    return sensor_variables(container, site, TOLD, env_vars, **given)  # type: ignore[arg-type]


def test_it_holds_what_is_documented() -> None:
    assert variables() == {
        "PATH": "/bin",
        "ATTUNE_API_URL": "http://server:8080",
        "ATTUNE_API_TOKEN": "t",
        "ATTUNE_SENSOR_ID": "1",
        "ATTUNE_SENSOR_REF": "watch.it",
        "ATTUNE_SENSOR_TRIGGERS": '[{"id": 1}]',
        "ATTUNE_SENSOR_CONFIG": '{"depth": 3}',
        "ATTUNE_PACK_REF": "watch",
        "ATTUNE_MQ_EXCHANGE": "attune.events",
        "ATTUNE_ARTIFACTS_DIR": "/artifacts",
        "ATTUNE_RUNTIME_ENVS_DIR": "/envs",
        "ATTUNE_LOG_LEVEL": "info",
        MARK: "x.1",
    }


def test_what_belongs_to_another_job_of_the_container_does_not_reach_it() -> None:
    others = {"ATTUNE_EXEC_ID": "7", "ATTUNE_RULE": "r", "ATTUNE_MQ_URL": "amqp://secret", "ATTUNE_API_TOKEN": "old"}
    found = variables(container=others | {"LANG": "C"})
    assert found["LANG"] == "C"
    assert found["ATTUNE_API_TOKEN"] == "t"
    assert not {"ATTUNE_EXEC_ID", "ATTUNE_RULE", "ATTUNE_MQ_URL"} & found.keys()


def test_a_broker_is_given_only_where_an_operator_says_so() -> None:
    assert variables(site=replace(SITE, mq_url="amqp://for-sensors"))["ATTUNE_MQ_URL"] == "amqp://for-sensors"


def test_a_moment_is_told_in_utc() -> None:
    at = datetime(2026, 11, 27, 9, 0, tzinfo=timezone(timedelta(hours=2)))
    assert variables(absent_since=at)["ATTUNE_SENSOR_ABSENT_SINCE"] == "2026-11-27T07:00:00Z"
    assert variables(absent_since=datetime(2026, 1, 1, tzinfo=UTC))["ATTUNE_SENSOR_ABSENT_SINCE"].endswith("Z")


def test_long_rules_are_in_a_file_and_nowhere_else() -> None:
    found = variables(instances_file="/tmp/rules.json")
    assert found["ATTUNE_SENSOR_TRIGGERS_FILE"] == "/tmp/rules.json"
    assert "ATTUNE_SENSOR_TRIGGERS" not in found


def test_a_runtime_extends_what_the_container_has() -> None:
    found = variables(container={"PATH": "/bin"}, env_vars={"PATH": EnvVar("/env/bin", "prepend", ":")})
    assert found["PATH"] == "/env/bin:/bin"
