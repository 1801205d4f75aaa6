"""Where zones come from, and what is said of one that there isn't."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import datetime
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
