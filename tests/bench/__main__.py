"""Print the figures of the README: ``python -m tests.bench [PART]...``, all parts without a name."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from tests.bench import (
    control_side,
    environments,
    file_transport,
    full_tables,
    onefile,
    pika_shortcuts,
    placing,
    rule_matching,
    spawn_cost,
    timers,
)
from tests.bench.depth import depth
from tests.bench.large_results import WANTED, large_results
from tests.bench.latency import bare_spawns, latencies, percentiles
from tests.bench.live_views import STREAMS, live_views
from tests.bench.machine import StolenTime, description
from tests.bench.masking import masking_speed
from tests.bench.memory import footprint
from tests.bench.page_in_browser import LINES, in_browser
from tests.bench.pages import page_costs
from tests.bench.pruning_cost import pruning_cost
from tests.bench.recovery import recovery
from tests.bench.stack import Stack, running_stack
from tests.bench.throughput import bare_rate, throughput
from tests.bench.traffic import traffic
from tests.bench.up_time import up_seconds

Rows = list[tuple[str, str, str, str]]


def measure_throughput(stack: Stack) -> Rows:
    """2,000 executions with everything written, against a plain spawn loop around them."""
    rates, bares, costs = [], [bare_rate()], []
    for _ in range(3):
        rate, cost = throughput(stack)
        rates.append(rate)
        costs.append(cost)
        bares.append(bare_rate())
    bare, bash = statistics.median(bares), bare_rate("/bin/bash")
    rate = statistics.median(rates)
    return [
        ("bare `sh -c :` loop", f"{bare:.0f}/s", "", f"bash alone: {bash / bare:.2f} of it"),
        ("2,000 no-op executions", f"{rate:.0f}/s", f"{rate / bare:.2f}", "at least 0.36"),
        ("processor time of the agent for one", f"{statistics.median(costs) * 1000:.2f} ms", "", ""),
    ]


def measure_latency(stack: Stack) -> Rows:
    """One execution at a time on an idle agent, each time after as many bare spawns."""
    rounds = []
    for _ in range(3):
        bare = statistics.median(bare_spawns(200)) * 1000
        p50, p95 = percentiles(latencies(stack))
        rounds.append((p50 - bare, p95 - bare, p50 / bare, p95 / bare))
    p50, p95, p50_ratio, p95_ratio = map(statistics.median, zip(*rounds, strict=True))
    return [
        ("latency p50 beyond the bare spawn", f"{p50:.1f} ms", f"{p50_ratio:.1f}", "at most 5 ms"),
        ("latency p95 beyond the bare spawn", f"{p95:.1f} ms", f"{p95_ratio:.1f}", "at most 10 ms"),
    ]


def measure_memory(stack: Stack) -> Rows:
    """Resident memory and idle processor time."""
    found = footprint(stack)
    return [
        ("resident when idle", f"{found.idle_mib:.1f} MiB", "", "under 60 MB"),
        ("grown after 10,000 executions", f"{found.after_mib - found.idle_mib:.1f} MiB", "", "at most 3 MB"),
        ("processor when idle", f"{found.idle_core * 100:.2f} % of a core", "", "under 0.5 %"),
    ]


def measure_traffic(stack: Stack) -> Rows:
    """What one execution costs the servers."""
    found = traffic(stack)
    return [
        ("SQL statements for an execution alone", f"{found.statements_alone:.2f}", "", "one to claim, one to finish"),
        ("SQL statements for one of a full queue", f"{found.statements_in_bulk:.2f}", "", ""),
        ("messages for an execution", f"{found.messages:.2f}", "", "running, ended, completed"),
    ]


def measure_onefile(_: Stack) -> Rows:
    """The one-file agent, against the interpreter that is frozen in it."""
    found = onefile.measure()
    bare = found.python

    def against(seconds: float) -> str:
        return f"{seconds / bare:.2f} of Python"

    detect_limit = found.own_line + found.slowest_interpreter + 0.05
    return [
        ("bare `python3 -I -c pass`", f"{bare * 1000:.1f} ms", "", ""),
        ("size of dist/attune-agent", f"{found.size / 1e6:.2f} MB", "", "at most 16 MB"),
        ("attune-agent --version", f"{found.version * 1000:.1f} ms", against(found.version), "at most 10 ms"),
        ("attune-agent health", f"{found.health * 1000:.1f} ms", against(found.health), "at most 10 ms"),
        ("the agent's own first line", f"{found.own_line * 1000:.1f} ms", against(found.own_line), "at most 2.5"),
        (
            "attune-agent --detect-only",
            f"{found.detect * 1000:.0f} ms",
            against(found.detect),
            f"at most {detect_limit * 1000:.0f} ms: start, slowest interpreter, 50 ms",
        ),
        ("first start from the single file", f"{found.first_start:.2f} s", "", "at most 1 s"),
        ("attune-agent install", f"{found.install:.2f} s", "", "at most 1 s"),
        ("attune-agent install, when current", f"{found.install_current:.2f} s", "", "at most 0.2 s"),
    ]


def measure_environments(_: Stack) -> Rows:
    """What versions and isolated environments cost."""
    found = environments.measure()

    def times(value: float | None) -> str:
        return "not here" if value is None else f"{value:.2f}"

    return [
        ("warm environment", f"{found.warm * 1e6:.0f} µs", "", "at most 1 ms, no process"),
        ("version of 200, warm", f"{found.select * 1e6:.0f} µs", "", "at most 1 ms"),
        ("version of 200, constraint unseen", f"{found.select_other * 1e6:.0f} µs", "", "at most 1 ms"),
        ("Python action in its environment", "", f"{found.python_ratio:.2f}", "at most 1.3 of python3 -I -c pass"),
        ("environment without dependencies", f"{found.venv:.2f} s", f"{found.venv_ratio:.2f}", "at most 1.1 of venv"),
        ("the same by uv", "", f"{times(found.uv_speedup)} times as fast as venv", "at least 3"),
        ("Go action, compiled before", "", times(found.go_ratio), "at most 1.3 of the program"),
        ("Java action, compiled before", "", times(found.java_ratio), "at most 1.3 of java -cp"),
    ]


def measure_shortcuts(stack: Stack) -> Rows:
    """What our own ways around pika and subprocess save; where a ratio comes near 1, the way should go."""
    return [
        ("processor time of a message, to pika as it comes", "", f"{pika_shortcuts.saved(stack.broker_url):.2f}", ""),
        ("processor time of a start, to subprocess", "", f"{spawn_cost.ratio_to_subprocess():.2f}", ""),
    ]


def measure_server(stack: Stack) -> Rows:
    """What the server adds to the agent, and what it takes when nobody asks for anything."""
    alone, served = [], []
    for _ in range(3):
        alone.append(control_side.agent_alone(stack) * 1000)
        served.append(statistics.median(control_side.served_latencies(stack)) * 1000)
    added = statistics.median(s - a for s, a in zip(served, alone, strict=True))
    rates, idle = control_side.rates(stack), control_side.idle(stack)
    return [
        ("the agent's own latency p50", f"{statistics.median(alone):.1f} ms", "", ""),
        ("request to completed row p50", f"{statistics.median(served):.1f} ms", "", f"at most 10 ms more: {added:.1f}"),
        ("dispatched directly", f"{rates.direct:.0f}/s", "", ""),
        ("accepted by the server", f"{rates.accepted:.0f}/s", "", ""),
        ("request to completed", f"{rates.completed:.0f}/s", f"{rates.completed / rates.direct:.2f}", "at least 0.5"),
        ("server, processor when idle", f"{idle.core * 100:.2f} % of a core", "", "under 0.5 %"),
        ("server, resident when idle", f"{idle.mib:.1f} MiB", "", "under 120 MB"),
        ("server, start to listening", f"{idle.start:.2f} s", "", f"under 1.5 s; processor: {idle.spent:.2f} s"),
    ]


def measure_dispatcher(stack: Stack) -> Rows:
    """Placing on 20 workers against the bare statement, and what full tables change."""
    found = placing.placing(stack)
    few, many = full_tables.costs(stack)
    ratio = many.placing / few.placing
    rows = [
        ("bare guarded UPDATE, 200 a transaction", f"{found.bare:.0f}/s", "", ""),
        (
            "dispatcher, 20 workers",
            f"{found.dispatcher:.0f}/s",
            f"{found.ratio:.2f}",
            "at least 0.8 of the bare UPDATE",
        ),
        ("placing one beside 1,100,000 rows", f"{many.placing * 1000:.2f} ms", f"{ratio:.2f}", "0.8 to 1.2 of 1,000"),
        ("the bare UPDATE beside them", f"{many.bare * 1000:.2f} ms", f"{many.bare / few.bare:.2f}", ""),
    ]
    for path, less, more in zip(full_tables.LISTS, few.lists, many.lists, strict=True):
        rows.append((f"GET {path}", f"{more * 1000:.1f} ms", f"{more / less:.2f}", "0.8 to 1.2 of 1,000 rows"))
    return rows


def measure_rules(stack: Stack) -> Rows:
    """What an event costs beside rules that don't match it, and how soon a webhook starts its action."""
    few, many = rule_matching.event_costs(stack)
    delays = sorted(rule_matching.webhook_latencies(stack))
    return [
        (
            "an event with one match beside 10,000 rules",
            f"{many * 1000:.2f} ms",
            f"{many / few:.2f}",
            "0.8 to 1.2 of 10",
        ),
        ("webhook to running action, p50", f"{statistics.median(delays) * 1000:.1f} ms", "", "at most 25 ms"),
    ]


def measure_timers(stack: Stack) -> Rows:
    """What a thousand timers take, how late they are, and how soon one runs whose rule is new."""
    found, first = timers.thousand_timers(stack), statistics.median(timers.first_timers(stack))
    return [
        ("1,000 timers of one minute, processor", f"{found.core * 100:.2f} % of a core", "", "under 2 %"),
        ("their ticks, p50 after their time", f"{found.late_p50 * 1000:.1f} ms", "", ""),
        ("their ticks, p99 after their time", f"{found.late_p99 * 1000:.1f} ms", "", "at most 50 ms"),
        ("a rule's creation to its timer, p50", f"{found.set_p50 * 1000:.0f} ms", "", "at most 500 ms"),
        ("the same, of a sensor that does not run yet", f"{first * 1000:.0f} ms", "", "at most 500 ms"),
    ]


def measure_masking(_: Stack) -> Rows:
    """What secrets cost for each megabyte that an action writes."""
    found = masking_speed()
    ratio = f"{found.many / found.one:.2f} of one"
    return [
        ("masking, one secret", f"{found.one:.0f} MB/s", "", "at least 100 MB/s"),
        (f"masking, {found.forms} forms", f"{found.many:.0f} MB/s", ratio, "0.5 to 1.5"),
    ]


def measure_results(stack: Stack) -> Rows:
    """What a result of 10 MB costs in memory."""
    return [
        (f"memory for 10 MB of {kind}", f"{found.peak:.0f} MiB", f"kept {found.kept:.0f} MiB", WANTED[kind])
        for kind, found in large_results(stack).items()
    ]


def measure_recovery(stack: Stack) -> Rows:
    """What an outage costs once it is over, and what a cancellation takes."""
    found = recovery(stack)
    return [
        ("consuming again after the broker is back, longest", f"{found.consuming:.2f} s", "", "at most 5 s"),
        ("result written after the database is back, longest", f"{found.written:.2f} s", "", "at most 5 s"),
        ("cancelled group dead beyond the grace, longest", f"{found.dead:.2f} s", "", "at most 0.5 s"),
    ]


def measure_depth(stack: Stack) -> Rows:
    """Whether a long queue costs more for each execution."""
    found = depth(stack)
    return [
        ("no-op executions, 2,000 in the queue", f"{found.short:.0f}/s", "", ""),
        ("no-op executions, 50,000 in the queue", f"{found.long:.0f}/s", f"{found.rates:.2f} of the short queue", "1"),
        ("processor time of the agent for one of these", "", f"{found.processor:.2f} of the short queue", "1"),
    ]


def measure_pruning(stack: Stack) -> Rows:
    """What pruning takes from those that run meanwhile."""
    found = pruning_cost(stack)
    return [
        ("no-op executions, nothing is pruned", f"{found.alone:.0f}/s", "", ""),
        ("the same while 100,000 old ones are pruned", f"{found.beside:.0f}/s", f"{found.ratio:.2f}", "at least 0.9"),
        ("quartiles of the ratio of neighbouring seconds", "", f"{found.low:.2f} to {found.high:.2f}", ""),
        ("old executions that go meanwhile", f"{found.pruned:.0f}/s", "", ""),
    ]


def measure_live_views(stack: Stack) -> Rows:
    """What those cost who watch, and how soon they see a line."""
    found = live_views(stack)
    return [
        (f"{STREAMS} logs that stand still, each watched", f"{found.core:.1%} of a core", "", "under 10 %"),
        ("connections of that server to the database", f"{found.connections}", "", "none for a viewer"),
        ("line of an action to its viewer, p50", f"{found.p50:.0f} ms", "", ""),
        ("line of an action to its viewer, p95", f"{found.p95:.0f} ms", "", "at most 250 ms"),
    ]


def measure_page(stack: Stack) -> Rows:
    """How soon each page begins to come with a million executions, and how much of it there is."""
    return [
        (
            f"page {cost.path}, first byte p95",
            f"{cost.seconds * 1000:.0f} ms",
            f"{cost.spent * 1000:.1f} ms of the processor, {cost.transfer / 1000:.0f} kB",
            "at most 50 ms, 100 kB",
        )
        for cost in page_costs(stack)
    ]


def measure_browser(stack: Stack) -> Rows:
    """How soon a line is on the screen, and whether a large log stalls who scrolls through it."""
    found = in_browser(stack)
    cpu = f"{found.longest_cpu * 1000:.0f} ms of the processor"
    return [
        ("line of an action on the screen, p50", f"{found.p50 * 1000:.0f} ms", "", ""),
        ("line of an action on the screen, p95", f"{found.p95 * 1000:.0f} ms", "", "at most 300 ms"),
        (f"longest task while {LINES:,} lines are scrolled", f"{found.longest * 1000:.0f} ms", cpu, "at most 50 ms"),
        ("until all of them are there", f"{found.loaded:.1f} s", f"{found.nodes:,} elements", ""),
    ]


def measure_up(stack: Stack) -> Rows:
    """How soon everything on one machine is ready, for the first time and again."""
    found = up_seconds()
    return [
        ("attune up, the first time", f"{found.first:.1f} s", "", "at most 5 s"),
        ("attune up, again", f"{found.again:.1f} s", "", "at most 5 s"),
    ]


def measure_transport(stack: Stack) -> Rows:
    """What it costs to send files over HTTP."""
    found = file_transport.measure(stack)
    beyond = found.api - found.volume
    return [
        ("an execution that writes a line, shared volume", f"{found.volume:.1f} ms", "", ""),
        ("the same, files over HTTP", f"{found.api:.1f} ms", f"{found.api / found.volume:.2f}", ""),
        ("what HTTP costs an execution", f"{beyond:.1f} ms", "", "at most 5 ms"),
        ("a line until a viewer has it, p95, shared volume", f"{found.line_volume:.0f} ms", "", "at most 250 ms"),
        ("the same, files over HTTP", f"{found.line_api:.0f} ms", "", "at most 250 ms"),
    ]


PARTS: dict[str, Callable[[Stack], Rows]] = {
    "throughput": measure_throughput,
    "latency": measure_latency,
    "traffic": measure_traffic,
    "memory": measure_memory,
    "results": measure_results,
    "server": measure_server,
    "dispatcher": measure_dispatcher,
    "page": measure_page,
    "browser": measure_browser,
    "up": measure_up,
    "transport": measure_transport,
    "rules": measure_rules,
    "timers": measure_timers,
    "masking": measure_masking,
    "onefile": measure_onefile,
    "environments": measure_environments,
    "shortcuts": measure_shortcuts,
    "recovery": measure_recovery,
    "depth": measure_depth,
    "pruning": measure_pruning,
    "streams": measure_live_views,
}


def main(names: list[str]) -> int:
    """Run the named parts, all without names."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    stolen = StolenTime()
    table = Table()
    for column in ("figure", "measured", "ratio to a bare start", "wanted"):
        table.add_column(column)
    with running_stack() as stack:
        for name in names or list(PARTS):
            for row in PARTS[name](stack):
                table.add_row(*row)
            table.add_section()
    table.title = f"{description()}; the host gave {stolen.share:.1%} of the processors' time to others"
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
