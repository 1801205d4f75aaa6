"""How results look: tables and short times for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.logs import escape_control

_STATUS_STYLES = {
    "completed": "green",
    "active": "green",
    "failed": "red",
    "error": "red",
    "timeout": "red",
    "abandoned": "red",
    "cancelled": "yellow",
    "canceling": "yellow",
    "busy": "yellow",
    "inactive": "dim",
    "running": "cyan",
}
_UNLIMITED = 10_000


def console(*, stderr: bool = False) -> Console:
    """Return a console; what goes into a pipe is never cut to the width of a terminal that isn't there."""
    made = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not made.is_terminal:
        made.width = _UNLIMITED
    return made


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table, or the sentence ``empty`` when there is no row."""
    lines = [list(row) for row in rows]
    if not lines:
        click.echo(empty)
        return
    show(make_table(headers, lines))


def show(table: Table) -> None:
    """Print a table; in a pipe, its lines end where their text does."""
    screen = console()
    if screen.is_terminal:
        screen.print(table)
        return
    with screen.capture() as captured:
        screen.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def make_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Make a table; a cell that is None shows as nothing, numbers stand right, control characters are shown."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    lines = [list(row) for row in rows]
    for index, header in enumerate(headers):
        numeric = all(isinstance(line[index], int | float | None) for line in lines)
        table.add_column(header, justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        table.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in line))
    return table


def print_details(entries: Iterable[tuple[str, Any]]) -> None:
    """Print names and values below each other, without those that are None."""
    table = Table(box=None, show_header=False, pad_edge=False, show_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in entries:
        if value is not None:
            table.add_row(Text(name), value if isinstance(value, Text) else plain(value))
    show(table)


def plain(value: Any) -> Text:
    """Turn a value into text that can't drive the terminal; line ends stay."""
    if value is None:
        return Text("")
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple | bool) else str(value)
    return Text("\n".join(escape_control(line) for line in text.split("\n")))


def status(name: str) -> Text:
    """Return a status in its colour."""
    return Text(escape_control(name), style=_STATUS_STYLES.get(name, ""))


def ago(moment: datetime | None) -> str | None:
    """Say how long ago a moment was: ``12 s ago``."""
    if moment is None:
        return None
    return since((datetime.now(UTC) - moment).total_seconds())


def since(seconds: float) -> str:
    """Say how long ago something was, to the second."""
    return f"{short(seconds) if seconds >= 10 else f'{max(0, round(seconds))} s'} ago"


def short(seconds: float | None) -> str | None:
    """Write a duration in its two largest units at most: ``0.21 s``, ``12 s``, ``3 min 4 s``, ``2 h 5 min``."""
    if seconds is None:
        return None
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: int | None) -> str | None:
    """Write a number of bytes: ``812 B``, ``1.2 kB``, ``3.4 MB``, ``5.6 GB``."""
    if count is None:
        return None
    if count < 1000:
        return f"{count} B"
    number = float(count)
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:.1f} TB"


def print_json(value: Any) -> None:
    """Print a value, or a dataclass, as JSON; times are RFC 3339 in UTC."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_encode))


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
