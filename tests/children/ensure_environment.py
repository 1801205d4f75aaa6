"""Prepare one environment as a worker would, and print where it is.

Arguments: ENVS_DIR PACKS_DIR PACK CONFIG_JSON INTERPRETER [MAVEN_MIRROR].

It says "ready" when it is, and begins when it is given a line, or the end, of input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agent.environments.manager import EnvironmentManager
from agent.environments.model import EnvironmentRequest
from agent.errors import EnvironmentFailed
from agent.runtimes.model import ExecutionConfig
from agent.settings import NetworkSettings


def main(envs: str, packs: str, pack: str, config: str, interpreter: str, maven_mirror: str | None = None) -> str:
    """Return the environment's directory."""
    network = NetworkSettings(maven_mirror=maven_mirror)
    manager = EnvironmentManager(runtime_envs_dir=Path(envs), packs_base_dir=Path(packs), network=network)
    request = EnvironmentRequest(
        pack_ref=pack,
        pack_dir=Path(packs, pack),
        dir_name="python",
        config=ExecutionConfig.from_json(json.loads(config)),
        interpreter=interpreter,
        interpreter_version="3",
    )
    try:
        return str(manager.ensure(request).env_dir)
    except EnvironmentFailed as error:
        return f"failed: {error}"


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    print(main(*sys.argv[1:]), flush=True)
