"""Tell people of a sensor that fails again and again: an alert for each failure from the third in a row on."""

from __future__ import annotations

import logging

from agent.errors import AgentError
from agent.mq.broker import Publisher
from agent.presence.alerts import Alert
from agent.sensors.model import ProcessRow
from agent.sensors.store import SensorStore

log = logging.getLogger(__name__)


class SensorAlerts:
    """Called by the manager."""

    def __init__(self, store: SensorStore, publisher: Publisher, *, worker_id: int, worker_name: str) -> None:
        """Write with ``store`` and send with ``publisher``, as the service with this id and name."""
        self._store = store
        self._publisher = publisher
        self._worker_id = worker_id
        self._worker_name = worker_name

    def __call__(self, row: ProcessRow, pause: float) -> None:
        """Raise an alert about a row; the next attempt is ``pause`` seconds away. Never raises."""
        try:
            message = self._store.alert(alert_of(row, pause, self._worker_id, self._worker_name))
            if message is None:
                log.warning("nobody is alerted of sensor %s: the trigger core.alert is missing or off", row.sensor_ref)
            else:
                self._publisher.send([message])
        except AgentError as error:
            log.warning("nobody could be alerted of sensor %s: %s", row.sensor_ref, error)


def alert_of(row: ProcessRow, pause: float, worker_id: int, worker_name: str) -> Alert:
    """Return the alert about a sensor that has failed again (pure)."""
    return Alert(
        severity="error",
        category="sensor_process_health",
        failure_type="sensor_process_repeated_failure",
        component_type="sensor",
        component_id=row.sensor,
        component_ref=row.sensor_ref,
        worker_role="sensor",
        summary=f"sensor {row.sensor_ref} failed {row.consecutive_failures} times in a row: {row.reason or 'unknown'}"[
            :500
        ],
        correlation_id=f"sensor:{row.sensor}:worker:{worker_id}:repeated_failure",
        details={
            "sensor_id": row.sensor,
            "sensor_ref": row.sensor_ref,
            "worker_id": worker_id,
            "worker_name": worker_name,
            "process_status": row.status,
            "consecutive_failures": row.consecutive_failures,
            "last_exit_code": row.last_exit_code,
            "last_signal": row.last_signal,
            "backoff_delay_seconds": round(pause),
            "next_restart_at": row.next_restart_at.isoformat() if row.next_restart_at else None,
            "active_rule_count": row.active_rule_count,
            "stderr_excerpt": row.stderr_excerpt,
        },
    )
