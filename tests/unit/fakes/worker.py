"""One life of a worker's coordinator on fakes, moved on by hand: no threads, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.execution.model import Assignment
from agent.execution.recording.coordinator import Coordinator
from agent.execution.recording.spool import Spool
from agent.execution.report import Report
from agent.execution.running import RunningExecutions
from agent.mq.broker import Delivery
from tests.unit.fakes.clock import FakeClock
from tests.unit.fakes.delivery import FakeDelivery
from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher
from tests.unit.fakes.store import ACTION, FakeStore

#: Far more turns than any history here needs: a coordinator that takes more goes round in circles.
_MANY = 200
#: Seconds: longer than claims wait to be announced, shorter than any pause.
_MOMENT = 0.01


class FakeWorker:
    """Stands for consumers, slots and clock of a coordinator, which it moves on."""

    def __init__(
        self,
        store: FakeStore,
        publisher: FakePublisher,
        journal: Journal,
        clock: FakeClock,
        *,
        slots: int,
        spool: Path | None = None,
    ) -> None:
        self.store = store
        self.publisher = publisher
        self.journal = journal
        self.clock = clock
        self.slots = slots
        self.spool = Spool(spool)
        self.running = RunningExecutions()
        #: What the slots are doing, by execution.
        self.assigned: dict[int, Assignment] = {}
        self.deliveries: list[FakeDelivery] = []
        self.coordinator = Coordinator(
            store,
            slots=slots,
            running=self.running,
            publisher=publisher,
            acknowledge=self._acknowledge,
            assign=self._assign,
            spool=self.spool,
            clock=clock.monotonic,
        )
        self._woken = True
        self._worked_at = clock.seconds

    def dispatch(self, *ids: int) -> list[FakeDelivery]:
        """Deliver dispatches, and return the deliveries."""
        deliveries = [FakeDelivery(id_, self.journal) for id_ in ids]
        for delivery in deliveries:
            self.take(delivery)
        return deliveries

    def take(self, delivery: FakeDelivery) -> None:
        """Hand a delivery over."""
        self.coordinator.dispatch(delivery.execution_id, delivery)
        self.deliveries.append(delivery)
        self._woken = True

    def end(self, *ids: int, status: str = "completed", **more: Any) -> None:
        """Let executions end, as their slots do: reported first, then forgotten."""
        for id_ in ids:
            assert self.assigned.pop(id_, None) is not None, f"execution {id_} does not run"
            self.coordinator.report(report(id_, status, **more))
            self.running.remove(id_)
        self._woken = True

    def go(self) -> None:
        """Go on for a moment, in which everything is done that need not wait for anybody."""
        self.elapse(_MOMENT)

    def elapse(self, seconds: float) -> None:
        """Go on for a time: the coordinator works and waits as it would in its thread."""
        until = self.clock.seconds + seconds
        for _ in range(_MANY):
            patience = 0.0 if self._woken else self.coordinator.patience()
            if patience is None or self._worked_at + patience > until:
                self.clock.seconds = until
                return
            self.clock.seconds = max(self.clock.seconds, self._worked_at + patience)
            self.turn()
        raise AssertionError("the coordinator goes round in circles")

    def turn(self) -> None:
        """Take in what waits, and do what there is to do once."""
        self._worked_at, self._woken = self.clock.seconds, False
        self.coordinator.run_once(0)

    def drain(self) -> list[int]:
        """Drain, and return the executions whose dispatches came back."""
        return [execution_id for execution_id, _ in self.drain_deliveries()]

    def drain_deliveries(self) -> Sequence[tuple[int, Delivery]]:
        """As ``drain``, with the deliveries."""
        self.coordinator.drain(0)
        self._woken = True
        self.go()
        return self.coordinator.drain(0)

    def leave(self) -> None:
        """Stop, and let the coordinator's thread come to its end."""
        self.coordinator.stop()
        self.coordinator.run()

    def vanish(self) -> None:
        """Close what the kernel closes when the process is killed."""
        for id_ in [*self.assigned, *(delivery.execution_id for delivery in self.deliveries)]:
            self.running.remove(id_)

    def _assign(self, assignment: Assignment) -> None:
        execution_id = assignment.claim.execution.id
        assert execution_id not in self.assigned, f"execution {execution_id} runs already"
        assert len(self.assigned) < self.slots, "no slot is free"
        self.assigned[execution_id] = assignment
        self.journal.add("assigned", execution_id)

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            delivery.ack()


def report(execution_id: int, status: str = "completed", **more: Any) -> Report:
    """The end of an execution, as a slot hands it over."""
    return Report(execution_id, ACTION.id, ACTION.ref, status, {"succeeded": status == "completed"}, **more)
