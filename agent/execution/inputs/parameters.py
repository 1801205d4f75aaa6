"""Make the document of parameters that an action reads: configuration, defaults and secrets (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from agent.errors import InvalidExecution
from agent.execution.inputs.dotenv import to_dotenv
from agent.execution.schema import schema_fields
from agent.formats import PARAMETER_FORMATS


def merge_parameters(config: Any, param_schema: Any = None, secrets: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the parameters: ``config``, the schema's defaults where a key is missing or null, secrets on top.

    A ``config`` that is not an object counts as empty. A default of null is no default. ``config`` is not changed;
    nested values are shared with it.

    Promise: parameters as declared.
    """
    merged = dict(config) if isinstance(config, Mapping) else {}
    for name, field in schema_fields(param_schema).items():
        if isinstance(field, Mapping) and merged.get(name) is None:
            default = field.get("default")
            if default is not None:
                merged[name] = default
    if secrets:
        merged.update(secrets)
    return merged


def serialise(parameters: Mapping[str, Any], fmt: str, limit: int) -> bytes:
    """Return the document in ``json``, ``yaml`` or ``dotenv``; delivery by stdin adds one newline to it.

    Raises:
        InvalidExecution: unknown format, a value the format can't hold, or more than ``limit`` bytes
            (promise: every execution has limits).
    """
    try:
        if fmt == "json":
            text = json.dumps(parameters, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        elif fmt == "dotenv":
            text = to_dotenv(parameters)
        elif fmt == "yaml":
            text = _to_yaml(parameters)
        else:
            raise InvalidExecution(f"unknown parameter_format {fmt!r}; use one of {', '.join(PARAMETER_FORMATS)}")
        document = text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        # Only the kind of trouble: the driver's words may quote a value.
        raise InvalidExecution(f"the parameters can't be written as {fmt} ({type(error).__name__})") from None
    if len(document) > limit:
        raise InvalidExecution(
            f"the parameters take {len(document)} bytes as {fmt}, more than the {limit} that are allowed",
            hint="pass large data by file or artifact, or raise worker.max_parameter_bytes",
        )
    return document


def _to_yaml(parameters: Mapping[str, Any]) -> str:
    import yaml

    try:
        text: str = yaml.dump(
            parameters,
            Dumper=_dumper(),
            default_flow_style=False,
            allow_unicode=True,
            sort_keys=False,
            width=1 << 30,  # a reader that works line by line must find each scalar on its line
        )
    except yaml.YAMLError:
        raise ValueError("YAML can't represent it") from None
    return text


@cache
def _dumper() -> Any:
    """Return a dumper that repeats shared values and quotes text that another YAML reader takes for a number."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    number = re.compile(r"^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+|0o[0-7_]+|\.?[0-9][0-9_.]*)$")
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))
    return Dumper
