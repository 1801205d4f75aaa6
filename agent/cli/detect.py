"""``attune-agent --detect-only``: say what this machine can run; needs no configuration, database or broker."""

from __future__ import annotations

import os

from agent.runtimes.detection import detect_interpreters
from agent.runtimes.detection_report import detection_json, detection_report

VARIABLE = "ATTUNE_WORKER_RUNTIMES"


def detect(*, as_json: bool) -> int:
    """Print the report, or JSON; return 0 whatever was found."""
    found = detect_interpreters()
    if as_json:
        import json

        print(json.dumps(detection_json(found, variable=VARIABLE), ensure_ascii=False))
    else:
        print(detection_report(found, variable=VARIABLE, override=os.environ.get(VARIABLE)), end="")
    return 0
