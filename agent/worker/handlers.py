"""What the consumers do with a message: decode, hand over, settle. Nothing here waits: it runs in their threads."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.errors import MessageError
from agent.execution.arrivals import Arrivals
from agent.execution.recording.coordinator import Coordinator
from agent.execution.running import RunningExecutions
from agent.mq.broker import Delivery
from agent.mq.messages import (
    PackEvent,
    decode_cancel_request,
    decode_dispatch,
    decode_pack_event,
)

log = logging.getLogger(__name__)


class Handlers:
    """One method per queue."""

    def __init__(
        self,
        coordinator: Coordinator,
        running: RunningExecutions,
        on_pack_event: Callable[[PackEvent], None],
        arrivals: Arrivals,
    ) -> None:
        """Pass dispatches to ``coordinator``, cancellations to ``running`` and pack events to ``on_pack_event``."""
        self._coordinator = coordinator
        self._running = running
        self._on_pack_event = on_pack_event
        self._arrivals = arrivals

    def dispatch(self, delivery: Delivery) -> None:
        """An execution for this worker; the coordinator acknowledges it."""
        try:
            dispatch = decode_dispatch(delivery.body)
        except MessageError as error:
            log.error("refused a malformed dispatch: %s", error)
            delivery.reject(requeue=False)
            return
        self._arrivals.add(dispatch.execution_id, dispatch.traceparent)
        self._coordinator.dispatch(dispatch.execution_id, delivery)

    def cancel(self, delivery: Delivery) -> None:
        """A request to end an execution; always acknowledged."""
        try:
            execution_id = decode_cancel_request(delivery.body).execution_id
        except MessageError as error:
            log.error("ignored a malformed request to cancel: %s", error)
        else:
            known = self._running.cancel(execution_id)
            log.info(
                "received a request to cancel execution %d%s",
                execution_id,
                "" if known else ", which does not run here",
            )
        delivery.ack()

    def pack_event(self, delivery: Delivery) -> None:
        """A pack was registered or deleted."""
        try:
            event = decode_pack_event(delivery.body)
        except MessageError as error:
            log.error("refused a malformed pack event: %s", error)
            delivery.reject(requeue=False)
            return
        if event is None:
            log.warning("ignored a message that is not about packs")
        else:
            self._on_pack_event(event)
        delivery.ack()
