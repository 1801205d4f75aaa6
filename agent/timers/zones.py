"""Time zones by their IANA names, and what a moment on a wall clock means in one."""

from __future__ import annotations

import io
import zipfile
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from agent.errors import InvalidTimer
from agent.paths import shipped_zones

_MINUTE = timedelta(minutes=1)
#: No zone has ever left out more than a day.
_LONGEST_GAP = 24 * 60 + 1


def zone_named(name: object) -> tzinfo:
    """Return the zone; UTC where none is named, never the machine's.

    Raises:
        InvalidTimer: there is no such zone.
    """
    if name is None or name in ("", "UTC", "utc", "Z"):
        return UTC
    if not isinstance(name, str) or len(name) > 64:
        raise InvalidTimer("timezone must be the IANA name of a time zone, such as Europe/Berlin")
    try:
        return _zone(name)
    except (zoneinfo.ZoneInfoNotFoundError, KeyError, ValueError, OSError) as error:
        raise InvalidTimer(f"there is no time zone {name[:64]!r}; use an IANA name such as Europe/Berlin") from error


@lru_cache(maxsize=1024)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    """Read a zone from the one file's own archive, where there is one: an image may have no zones, or old ones."""
    archive = shipped_zones()
    if archive is None:
        return zoneinfo.ZoneInfo(name)
    with zipfile.ZipFile(archive) as zones:
        return zoneinfo.ZoneInfo.from_file(io.BytesIO(zones.read(name)), key=name)


def moment_of(wall: datetime, zone: tzinfo) -> datetime:
    """Return the moment, in UTC, at which clocks of the zone show ``wall``.

    A time that is left out when clocks go forward becomes the first moment after the gap; of two moments with one name
    the first is taken.
    """
    local = wall.replace(tzinfo=zone, fold=0)
    for _ in range(_LONGEST_GAP):
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
            break
        local = local.replace(second=0, microsecond=0) + _MINUTE
    return local.astimezone(UTC)
