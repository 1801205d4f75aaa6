"""Build the environment of a sensor's process; nothing of the service's own settings is in it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.execution.inputs.variables import combined
from agent.runtimes.model import EnvVar
from agent.sensors.model import Sensor

EXCHANGE = "attune.events"
#: By this the processes of a sensor, and what they leave behind, are known.
MARK = "ATTUNE_SENSOR_PROCESS"
#: The kernel takes no longer single variable than 128 KiB; what doesn't fit goes into a file.
LONGEST = 120_000

#: Belongs to one sensor or one execution: what the container itself has under these names must not reach a sensor.
_OTHERS = (
    *("ATTUNE_API_TOKEN", "ATTUNE_EXEC_ID", "ATTUNE_ACTION", "ATTUNE_PARAMETER_FILE", "ATTUNE_RULE", "ATTUNE_TRIGGER"),
    *("ATTUNE_SENSOR_ABSENT_SINCE", "ATTUNE_SENSOR_TRIGGERS_FILE", "ATTUNE_MQ_URL"),
)


@dataclass(frozen=True)
class SensorSite:
    """What all sensors of this service see alike; ``mq_url`` is None where they get no broker."""

    api_url: str
    artifacts_dir: str
    runtime_envs_dir: str
    mq_url: str | None


def sensor_variables(
    container: Mapping[str, str],
    site: SensorSite,
    sensor: Sensor,
    env_vars: Mapping[str, EnvVar],
    *,
    token: str,
    mark: str,
    absent_since: datetime | None,
    instances_file: str | None = None,
) -> dict[str, str]:
    """Return the environment.

    ``sensor`` has its instances; ``instances_file`` holds them where they are too long for a variable. A runtime's
    prepend and append extend what the container has.
    """
    variables = {
        "ATTUNE_API_URL": site.api_url,
        "ATTUNE_API_TOKEN": token,
        "ATTUNE_SENSOR_ID": str(sensor.id),
        "ATTUNE_SENSOR_REF": sensor.ref,
        "ATTUNE_SENSOR_CONFIG": sensor.config_text if len(sensor.config_text.encode()) <= LONGEST else "{}",
        "ATTUNE_PACK_REF": sensor.pack_ref,
        "ATTUNE_MQ_EXCHANGE": EXCHANGE,
        "ATTUNE_ARTIFACTS_DIR": site.artifacts_dir,
        "ATTUNE_RUNTIME_ENVS_DIR": site.runtime_envs_dir,
        "ATTUNE_LOG_LEVEL": "info",
        MARK: mark,
    }
    if instances_file is None:
        variables["ATTUNE_SENSOR_TRIGGERS"] = sensor.instances or "[]"
    else:
        variables["ATTUNE_SENSOR_TRIGGERS_FILE"] = instances_file
    if site.mq_url is not None:
        variables["ATTUNE_MQ_URL"] = site.mq_url
    if absent_since is not None:
        variables["ATTUNE_SENSOR_ABSENT_SINCE"] = absent_since.astimezone(UTC).isoformat().replace("+00:00", "Z")
    environment = {name: value for name, value in container.items() if name not in _OTHERS}
    environment |= variables
    for name, entry in env_vars.items():
        environment[name] = combined(entry, environment.get(name, ""))
    return environment
