"""Where zones come from, and what is said of one that there isn't."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tzdata

from agent.errors import InvalidTimer
from agent.timers import zones


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An archive as the one-file agent has it; its Europe/Berlin is New York, so that one sees where it comes from."""
    path = tmp_path / "zones.zip"
    with zipfile.ZipFile(path, "w") as file:
        source = Path(tzdata.__file__).parent / "zoneinfo" / "America" / "New_York"
        file.writestr("Europe/Berlin", source.read_bytes())
    monkeypatch.setattr(zones, "shipped_zones", lambda: path)
    zones._zone.cache_clear()
    yield path
    zones._zone.cache_clear()


def test_the_zones_of_the_one_file_win_over_those_of_the_machine(archive: Path) -> None:
    zone = zones.zone_named("Europe/Berlin")
    assert datetime(2026, 1, 1, tzinfo=zone).isoformat() == "2026-01-01T00:00:00-05:00"


@pytest.mark.parametrize(
    "name", ["Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "Europe/", "a\0b", "x" * 65, 5]
)
def test_a_zone_that_there_is_not_is_refused(archive: Path, name: object) -> None:
    with pytest.raises(InvalidTimer, match=r"time zone"):
        zones.zone_named(name)


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "Europe/", "a\0b", "Europe"])
def test_without_an_archive_too(name: str) -> None:
    with pytest.raises(InvalidTimer, match="there is no time zone"):
        zones.zone_named(name)


@pytest.mark.parametrize(
    ("wall", "name", "moment"),
    [
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30"),  # half an hour is left out, from 02:00 on
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:00"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30"),  # the first of two
    ],
)
def test_a_time_that_clocks_leave_out_is_the_first_after_it(wall: str, name: str, moment: str) -> None:
    found = zones.moment_of(datetime.fromisoformat(wall), zones.zone_named(name))
    assert found == datetime.fromisoformat(moment).replace(tzinfo=UTC)
