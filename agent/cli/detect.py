"""``attune-agent --detect-only``: say what this machine can run; needs no configuration, database or broker.

It reads a file only where one is named with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agent.runtimes.detection import detect_interpreters
from agent.runtimes.detection_report import detection_json, detection_report

VARIABLE = "ATTUNE_WORKER_RUNTIMES"
#: The one setting that matters here; reading all of them could fail, and this command must not.
SEARCH_PATHS = "ATTUNE__RUNTIMES__SEARCH_PATHS"


def detect(*, as_json: bool, config: str | None = None, variable: str = VARIABLE) -> int:
    """Print the report, or JSON; return 0 whatever was found. ``variable`` is what would limit the runtimes.

    Raises:
        ConfigurationError: the file ``config`` can't be used.
    """
    found = detect_interpreters(
        search_paths=_configured(config) if config else _stated(os.environ.get(SEARCH_PATHS, ""))
    )
    if as_json:
        import json

        print(json.dumps(detection_json(found, variable=variable), ensure_ascii=False))
    else:
        print(detection_report(found, variable=variable, override=os.environ.get(variable)), end="")
    return 0


def _configured(config: str) -> Sequence[str]:
    from agent.configuration import load_settings

    return load_settings(os.environ, config=Path(config)).settings.runtimes.search_paths


def _stated(text: str) -> list[str]:
    """Read a list as the settings do: JSON, or separated by commas."""
    if text.lstrip().startswith("["):
        import json

        try:
            listed = json.loads(text)
        except ValueError:
            return []
        return [item for item in listed if isinstance(item, str)]
    return [part.strip() for part in text.split(",") if part.strip()]
