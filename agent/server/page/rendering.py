"""Templates: Jinja2 with escaping everywhere, and the few words that they need for times, sizes and JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup, escape

from agent.server.page.assets import Assets

_HERE = Path(__file__).parent
_LONGEST_JSON = 200_000

SECTIONS = (
    ("executions", "Executions", "executions", "read", "e"),
    ("actions", "Actions", "actions", "read", "a"),
    ("fleet", "Fleet", "workers", "read", "f"),
    ("runtimes", "Runtimes", "runtimes", "read", "r"),
    ("rules", "Rules", "rules", "read", "l"),
    ("events", "Events", "events", "read", "v"),
    ("packs", "Packs", "packs", "read", "p"),
    ("keys", "Keys", "keys", "read", "k"),
    ("audit", "Audit", "audit_log", "read", "u"),
)
"""The pages of the head line: path, title, the permission that shows it, and the key after ``g`` that goes there."""


class Rendering:
    """The templates of the page and the files beside them."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.assets = Assets(_HERE / "static")

    @cached_property
    def _environment(self) -> Environment:
        made = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        made.filters |= {"moment": moment, "since": since, "seconds": seconds, "pretty": pretty, "size": size}
        return made

    def render(self, name: str, values: dict[str, Any]) -> str:
        """Return the HTML of a template."""
        return self._environment.get_template(name).render(values)


def moment(value: Any) -> Markup | str:
    """Return a time that the reader's browser shows in its own zone; without script it is UTC, said."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return ""
    if not isinstance(value, datetime):
        return ""
    value = value.astimezone(UTC)
    shown = value.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(timespec="milliseconds"), shown)


def since(value: Any) -> Markup | str:
    """Return a time as what has passed since."""
    if not isinstance(value, datetime):
        return ""
    passed = (datetime.now(UTC) - value.astimezone(UTC)).total_seconds()
    iso = value.astimezone(UTC).isoformat(timespec="milliseconds")
    return Markup('<time datetime="{}" data-since>{} ago</time>').format(iso, seconds(max(0.0, passed)))


def seconds(value: Any) -> str:
    """Return a length of time as a person says it."""
    if not isinstance(value, int | float):
        return ""
    if value < 1:
        return f"{round(value * 1000)} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    if value < 3600:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return (
        f"{int(value // 3600)} h {int(value % 3600 // 60)} min" if value < 172_800 else f"{int(value // 86_400)} days"
    )


def pretty(value: Any) -> str:
    """Return a value as JSON that a person reads; of a very long one the beginning."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    cut = len(text) - _LONGEST_JSON
    return text if cut <= 0 else f"{text[:_LONGEST_JSON]}\n… {cut} more characters"


def size(value: Any) -> str:
    """Return a number of bytes as a person says it."""
    if not isinstance(value, int | float):
        return ""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


__all__ = ["Rendering", "escape", "moment", "pretty", "seconds", "since", "size"]
