"""The kernel's count of processes that it killed for want of memory is read as it stands."""

import os
from pathlib import Path

import pytest

from agent.process import oom_events
from agent.process.oom_events import oom_kills


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5),
        ("low 0\n", 0),
        ("oom_kill many\n", 0),
    ],
)
def test_the_count_of_either_version_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int
) -> None:
    (tmp_path / "events").write_text(text)
    fd = os.open(tmp_path / "events", os.O_RDONLY)
    monkeypatch.setattr(oom_events, "_counter", lambda: fd)
    assert [oom_kills(), oom_kills()] == [count, count]
    os.close(fd)


def test_where_nothing_counts_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oom_events, "_counter", lambda: None)
    assert oom_kills() == 0
