"""What the service does with a message about rules or packs: it looks at the database, whatever the message says."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.errors import MessageError
from agent.mq.broker import Delivery
from agent.mq.messages import PackDeleted, PackRegistered, RuntimeVerifyRequested, decode_pack_event

log = logging.getLogger(__name__)


class SensorHandlers:
    """Nothing here waits: it runs in the consumer's thread."""

    def __init__(
        self,
        changed: Callable[[], None],
        pack_changed: Callable[[str], None],
        pack_gone: Callable[[str], None],
        verify: Callable[[], None],
    ) -> None:
        """Tell ``changed`` of everything, the others of packs and of who asks for versions."""
        self._changed = changed
        self._pack_changed = pack_changed
        self._pack_gone = pack_gone
        self._verify = verify

    def lifecycle(self, delivery: Delivery) -> None:
        """A rule was made or switched, or a pack was registered or deleted; always acknowledged."""
        try:
            event = decode_pack_event(delivery.body)
        except MessageError as error:
            log.error("ignored a malformed message about rules or packs: %s", error)
        else:
            if isinstance(event, PackRegistered):
                self._pack_changed(event.pack_ref)
            elif isinstance(event, PackDeleted):
                self._pack_gone(event.pack_ref)
            elif isinstance(event, RuntimeVerifyRequested):
                self._verify()
            self._changed()
        delivery.ack()
