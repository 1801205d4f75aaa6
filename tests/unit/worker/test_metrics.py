"""Metrics say what happened, in a form that Prometheus reads; the dashboard asks for what there is."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from agent.counters import Counters
from agent.errors import ConfigurationError
from agent.presence import answering
from agent.worker import metrics_server
from agent.worker.metrics import METRICS, exposition
from agent.worker.metrics_server import MetricsServer

ROOT = Path(__file__).parents[3]
GAUGES = {name: (lambda: 3) for name, (kind, _) in METRICS.items() if kind == "gauge"}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server notice soon that it shall stop, and that somebody asks nothing."""
    monkeypatch.setattr(answering, "_POLL", 0.02)
    monkeypatch.setattr(metrics_server, "_PATIENCE", 0.2)


@contextmanager
def serving(text: str) -> Iterator[int]:
    """Answer on a free port of the loopback interface; yield the port."""
    server = MetricsServer("127.0.0.1:0", lambda: text)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.port
    finally:
        server.stop()
        thread.join()


def test_what_was_counted_is_shown_with_its_labels() -> None:
    counters = Counters()
    counters.add("attune_worker_executions_total", status="failed", cause="oom")
    counters.add("attune_worker_executions_total", cause="oom", status="failed")
    counters.observe("attune_worker_queue_wait_seconds", 0.2)
    counters.observe("attune_worker_queue_wait_seconds", 9000.0)
    lines = exposition(counters, GAUGES).splitlines()
    assert 'attune_worker_executions_total{cause="oom",status="failed"} 2' in lines
    assert 'attune_worker_queue_wait_seconds_bucket{le="0.1"} 0' in lines
    assert 'attune_worker_queue_wait_seconds_bucket{le="0.5"} 1' in lines
    assert 'attune_worker_queue_wait_seconds_bucket{le="+Inf"} 2' in lines
    assert "attune_worker_queue_wait_seconds_count 2" in lines
    assert "attune_worker_slots 3" in lines


def test_every_line_has_the_form_that_prometheus_reads() -> None:
    counters = Counters()
    counters.add("attune_worker_reconnects_total", connection="publisher")
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? [0-9.]+')
    comment = re.compile(r"# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge|histogram))")
    wrong = [
        line
        for line in exposition(counters, GAUGES).splitlines()
        if not (sample.fullmatch(line) or comment.fullmatch(line))
    ]
    assert wrong == []


def test_the_dashboard_asks_for_metrics_that_there_are_and_for_all_of_them() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/attune-workers.json").read_text())
    asked = {
        name.removesuffix("_bucket")
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"attune_\w+", target["expr"])
    }
    assert asked == set(METRICS)


def test_all_that_is_counted_anywhere_is_a_metric() -> None:
    counted = {
        name
        for path in (ROOT / "agent").rglob("*.py")
        for name in re.findall(r'COUNTERS\.\w+\(\s*"(\w+)"', path.read_text())
    }
    assert counted == {name for name, (kind, _) in METRICS.items() if kind != "gauge"}


def test_metrics_are_answered_and_nothing_else() -> None:
    with serving("attune_worker_slots 3\n") as port:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.read() == b"attune_worker_slots 3\n"
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        with pytest.raises(HTTPError) as refused:
            urlopen(f"http://127.0.0.1:{port}/etc/passwd")
        refused.value.close()
        assert refused.value.code == 404


def test_one_who_asks_nothing_or_too_much_holds_nobody_up() -> None:
    with serving("fine\n") as port, socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"GET /met")
        with socket.create_connection(("127.0.0.1", port)) as loud:
            loud.sendall(b"x" * 8192)
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                assert answer.read() == b"fine\n"


@pytest.mark.parametrize("address", ["", "9090", "localhost", "localhost:http", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="metrics_address"):
        MetricsServer(address, str)
