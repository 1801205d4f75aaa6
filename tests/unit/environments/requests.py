"""Requests for tests that start no process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.environments.model import EnvironmentRequest
from agent.runtimes.model import ExecutionConfig

PYTHON: dict[str, Any] = {
    "interpreter": {"binary": "python3"},
    "environment": {
        "env_type": "virtualenv",
        "create_command": ["python3", "-m", "venv", "{env_dir}"],
        "interpreter_path": "{env_dir}/bin/python3",
    },
    "dependencies": {
        "manifest_file": "requirements.txt",
        "install_command": ["{interpreter}", "-m", "pip", "install", "-r", "{manifest_path}"],
    },
}


def python_request(pack_dir: Path, **changes: Any) -> EnvironmentRequest:
    """Return a request for pack ``demo`` on the interpreter /usr/bin/python3."""
    pack_dir.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = {
        "pack_ref": "demo",
        "pack_dir": pack_dir,
        "dir_name": "python",
        "config": ExecutionConfig.from_json(PYTHON),
        "interpreter": "/usr/bin/python3",
        "interpreter_version": "3.11.2",
    }
    return EnvironmentRequest(**known | changes)
