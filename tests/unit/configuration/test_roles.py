"""A sensor service reads section ``sensor`` where a worker reads its own, and shares the rest."""

from __future__ import annotations

from agent.configuration import load_settings
from agent.configuration.roles import as_sensor_service


def test_a_sensor_service_has_its_own_place_and_the_workers_limits() -> None:
    environ = {
        "ATTUNE_WORKER_NAME": "both",
        "ATTUNE__WORKER__LABELS": '{"of": "worker"}',
        "ATTUNE__WORKER__INSTALL_TIMEOUT": "17",
        "ATTUNE__SENSOR__LABELS": '{"of": "sensors"}',
        "ATTUNE__SENSOR__HEARTBEAT_INTERVAL": "7",
        "ATTUNE__SENSOR__MAX_CONCURRENT_SENSORS": "3",
        "ATTUNE_SENSOR_RUNTIMES": "python",
        "ATTUNE_STOP_GRACE_PERIOD": "65",
    }
    loaded = load_settings(environ)
    worker, found = loaded.settings.worker, as_sensor_service(loaded).settings.worker
    assert worker.name == "both"
    assert found.name is not None
    assert found.name.startswith("sensor-")
    assert found.labels == {"of": "sensors"}
    assert (found.heartbeat_interval, found.max_concurrent_tasks, found.install_timeout) == (7.0, 3, 17.0)
    assert (worker.shutdown_timeout, found.shutdown_timeout) == (60.0, 60.0)
    assert loaded.variables.sensor_runtimes == "python"
