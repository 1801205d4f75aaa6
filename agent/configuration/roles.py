"""The settings of a sensor service as those of a worker: one code serves both roles (pure)."""

from __future__ import annotations

from dataclasses import replace

from agent.configuration.loaded import Loaded


def as_sensor_service(loaded: Loaded) -> Loaded:
    """Return the settings with section ``sensor`` in the places of section ``worker`` that both have.

    What tells where a worker stands is not taken over from ``worker``: who runs both roles in one container names them
    apart, and a label of one is not the other's.
    """
    sensor = loaded.settings.sensor
    worker = replace(
        loaded.settings.worker,
        name=sensor.worker_name,
        host=sensor.host,
        port=None,
        runtime_id=None,
        capabilities=sensor.capabilities,
        labels=sensor.labels,
        taints=sensor.taints,
        max_concurrent_tasks=sensor.max_concurrent_sensors,
        heartbeat_interval=sensor.heartbeat_interval,
        shutdown_timeout=sensor.shutdown_timeout,
    )
    return replace(loaded, settings=replace(loaded.settings, worker=worker))
