"""Reads labels that the platform writes into a file: a line ``key="value"`` each, as Kubernetes' downward API does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from agent.errors import ConfigurationError

#: Labels of a pod are far smaller.
_MOST_BYTES = 256 * 1024


def read_labels(path: Path) -> tuple[dict[str, str], Sequence[str]]:
    """Return the labels, and a warning for each line that isn't one.

    Raises:
        ConfigurationError: the file can't be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"worker.labels_file: {path} can't be read: {error.strerror}",
            hint="mount the downward API's file of the pod's labels there, or unset worker.labels_file",
        ) from error
    labels: dict[str, str] = {}
    warnings: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        key, separator, quoted = line.partition("=")
        value = _unquoted(quoted)
        if separator and key.strip() and value is not None:
            if value.strip():  # Kubernetes knows labels without a value, selectors of workers don't
                labels[key.strip()] = value
        else:
            warnings.append(f'{path}:{number}: the line is left out; a label is key="value"')
    return labels, warnings


def _unquoted(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
