"""All faults, in any order and at any time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.faults.jobs import QUICK, SHORT
from tests.faults.scenarios.work import for_a_while
from tests.faults.site import Site


def at_random(site: Site, seconds: float = 90.0) -> None:
    """Everything at random while jobs flow."""
    dice = random.Random(20260101)
    agent = site.start_agent()
    faults: list[Callable[[], object]] = [
        site.database.cut,
        site.broker.cut,
        site.database.sever,
        site.broker.sever,
        lambda: site.database.inject(dice.choice([b"\0claim\0", b"\0finish\0", b"\0exchange\0"]), "lose answer"),
        lambda: for_a_while(site.database.refuse, site.database.accept, dice.uniform(0.2, 2)),
        lambda: for_a_while(site.broker.refuse, site.broker.accept, dice.uniform(0.2, 2)),
        lambda: for_a_while(site.database.pause, site.database.accept, dice.uniform(0.2, 2)),
        lambda: for_a_while(site.broker.reset, site.broker.accept, dice.uniform(0.2, 2)),
        lambda: site.servers.postgres.restart("immediate"),
    ]
    until_then = time.monotonic() + seconds * site.scale
    while time.monotonic() < until_then:
        ids = site.submit(20, dice.choice([QUICK, SHORT]), agent=agent)
        if dice.random() < 0.2:
            site.dispatch(ids[::3], agent=agent)
        if dice.random() < 0.2:
            site.cancel(ids[::5], agent=agent)
        if dice.random() < 0.15:
            agent = site.kill(agent)
        elif dice.random() < 0.1:
            agent.stop()
            agent = site.start_agent()
        else:
            dice.choice(faults)()
        time.sleep(dice.uniform(0, 0.5))
    site.database.accept()
    site.broker.accept()
    site.healed()
