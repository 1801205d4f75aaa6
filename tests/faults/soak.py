"""Many executions with faults at random for long: ``python -m tests.faults.soak [--executions N] [--minutes M]``.

Nothing may be lost, happen twice or be stuck, and what the agent uses must not grow.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.faults.audit import audit
from tests.faults.jobs import QUICK
from tests.faults.servers import running_servers
from tests.faults.site import Site, site

#: How much more memory than after the first tenth is still flat, in bytes; and more descriptors and threads.
_MORE_MEMORY, _MORE_OF_OTHERS = 12_000_000, 12
_BATCH = 50


@dataclass(frozen=True)
class Use:
    """What the agent uses."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Use:
        """Look at a process."""
        process = psutil.Process(pid)
        return cls(process.memory_info().rss, process.num_fds(), process.num_threads())


def soak(laid_out: Site, executions: int, seconds: float) -> tuple[Use, Use]:
    """Let so many executions run in so many seconds; return what the agent used at a tenth of them, and at the end."""
    dice = random.Random(7)
    agent = laid_out.start_agent()
    faults: list[Callable[[], object]] = [
        laid_out.database.cut,
        laid_out.broker.cut,
        laid_out.database.sever,
        laid_out.broker.sever,
        lambda: _shortly(laid_out.database.refuse, laid_out.database.accept, dice),
        lambda: _shortly(laid_out.broker.refuse, laid_out.broker.accept, dice),
        lambda: _shortly(laid_out.database.pause, laid_out.database.accept, dice),
        lambda: _shortly(laid_out.broker.reset, laid_out.broker.accept, dice),
    ]
    began, done, early = time.monotonic(), 0, None
    while done < executions:
        ids = laid_out.schedule(min(_BATCH, executions - done), QUICK)
        laid_out.dispatch(ids)
        done += len(ids)
        if dice.random() < 0.3:
            dice.choice(faults)()
        if early is None and done >= executions / 10:
            laid_out.wait_ended(timeout=300)
            early = Use.of(agent.pid)
        time.sleep(max(0.0, began + seconds * done / executions - time.monotonic()))
    laid_out.wait_ended(timeout=300)
    time.sleep(2)
    return early or Use.of(agent.pid), Use.of(agent.pid)


def _shortly(begin: Callable[[], object], end: Callable[[], object], dice: random.Random) -> None:
    begin()
    time.sleep(dice.uniform(0.1, 1.5))
    end()


def main(words: list[str]) -> int:
    """Run, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--executions", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=20.0)
    given = parser.parse_args(words)
    with running_servers() as servers, site(servers) as laid_out:
        early, late = soak(laid_out, given.executions, given.minutes * 60)
        found = audit(laid_out)
    flat = (
        late.memory - early.memory <= _MORE_MEMORY
        and late.descriptors - early.descriptors <= _MORE_OF_OTHERS
        and late.threads - early.threads <= _MORE_OF_OTHERS
    )
    print(f"{found.executions} executions, {found.lost} lost, {found.duplicated} duplicated, {found.stuck} stuck")
    print(f"memory {early.memory / 1e6:.1f} MB, then {late.memory / 1e6:.1f} MB", end="; ")
    print(f"descriptors {early.descriptors}, then {late.descriptors}", end="; ")
    print(f"threads {early.threads}, then {late.threads}")
    for complaint in found.complaints[:20]:
        print(f"  {complaint}")
    return 0 if found.clean and flat else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
