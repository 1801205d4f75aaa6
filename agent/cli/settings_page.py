"""The reference page of all settings, made of the code so that it can't be wrong (pure)."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from agent.configuration.settings_table import Field, fields

_HEAD = """\
# Settings

Every setting has a key, such as `database.url`, and a variable, such as `ATTUNE__DATABASE__URL`. Later wins:

1. the default below;
2. the configuration file: `--config`, else `$ATTUNE_CONFIG`, else `/opt/attune/config/config.yaml` if it exists
   (`./config.yaml` too, but only when run from the source tree); one that was named must exist;
3. `config.<environment>.yaml` beside that file, where `environment` is the setting of that name;
4. environment variables;
5. the command line (`--name`).

The file is shared with Attune's other services: sections that are not listed here are ignored, and an unknown key in
one that is listed is a warning. A value of a wrong type ends the program with exit code 2, naming file, line and key.
In variables, a list is JSON or comma-separated, a map is JSON, and a single entry of a map can be set by its name
(`ATTUNE__WORKER__LABELS__ZONE=a`; names become lower case). `attune settings` prints each value and where it came from.

Variables with a single underscore: `ATTUNE_CONFIG`, `ATTUNE_WORKER_NAME`, `ATTUNE_WORKER_TYPE` (defaults of the keys of
those names), `ATTUNE_STOP_GRACE_PERIOD` (seconds until the container is killed: `worker.shutdown_timeout` is five less
where it is not set), `ATTUNE_API_URL` (where actions reach the API; default made of `server`), `ATTUNE_WORKER_RUNTIMES`
(the runtimes that this worker offers, comma-separated; empty means none) and `ATTUNE_SENSOR_RUNTIMES`.
"""


def settings_page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *_tables()]) + "\n"


def _tables() -> Iterator[str]:
    section = None
    for key, field in fields().items():
        name = key.partition(".")[0] if "." in key else ""
        if name != section:
            section = name
            yield f"## {name or 'Top level'}\n"
            yield "| key | variable | type | default | meaning |"
            yield "|---|---|---|---|---|"
        yield _row(field)
        if _is_last(key):
            yield ""


def _row(field: Field) -> str:
    cells = [f"`{field.key}`", f"`{field.variable}`", _type(field), _default(field.default), field.doc]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _is_last(key: str) -> bool:
    keys = list(fields())
    following = keys[keys.index(key) + 1 :][:1]
    return not following or following[0].rpartition(".")[0] != key.rpartition(".")[0]


def _type(field: Field) -> str:
    text = _kind(field.kind)
    if field.above is not None:
        text += f" > {field.above:g}"
    if field.least is not None:
        text += f" ≥ {field.least:g}"
    return text + (" (secret)" if field.secret else "")


def _kind(kind: Any) -> str:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in get_args(kind) if part is not type(None))
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if origin is tuple:
        return "list of texts" if get_args(kind)[0] is str else "list of maps"
    if origin is not None and issubclass(origin, Mapping):
        return "map"
    return {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}[kind]


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if value or isinstance(value, int) else "empty"
