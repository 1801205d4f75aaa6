"""``attune-agent`` and ``attune-worker``: read the command line, answer what is quick, start the service.

Everything heavy is imported where it is used: ``--version`` and ``--detect-only`` pay for nothing that they don't need.
"""

from __future__ import annotations

import sys

from agent.cli.edge import guarded

AGENT_HELP = """\
usage: attune-agent [--config PATH] [--name NAME]
       attune-agent --detect-only [--json]
{commands}
Turn this container into a worker: find its interpreters, register, take executions and run them.

options:
  -c, --config PATH  configuration file (default: $ATTUNE_CONFIG, else /opt/attune/config/config.yaml if it exists)
  -n, --name NAME    this worker's name (default: $ATTUNE_WORKER_NAME, else worker-<hostname>)
      --detect-only  print the runtimes found here and exit; reads no file but that of --config
      --json         with --detect-only: print JSON
  -V, --version      print the version and exit
  -h, --help         print this and exit
{details}
Every setting can come from the environment, e.g. ATTUNE__DATABASE__URL and ATTUNE__MESSAGE_QUEUE__URL.
ATTUNE_WORKER_RUNTIMES=python,shell limits what this worker offers.
"""

WORKER_HELP = """\
usage: attune-worker [--config PATH] [--name NAME]

Run executions on this machine; verifies runtime versions and prepares environments when it starts.

options:
  -c, --config PATH  configuration file (default: $ATTUNE_CONFIG, else /opt/attune/config/config.yaml if it exists)
  -n, --name NAME    this worker's name (default: $ATTUNE_WORKER_NAME, else worker-<hostname>)
  -V, --version      print the version and exit
  -h, --help         print this and exit
"""


def agent() -> None:
    """Entry point of ``attune-agent``; exits."""
    sys.exit(guarded("attune-agent", lambda: run_agent(sys.argv[1:])))


def worker() -> None:
    """Entry point of ``attune-worker``; exits."""
    sys.exit(guarded("attune-worker", lambda: run_worker(sys.argv[1:])))


def sensor() -> None:
    """Entry point of ``attune-sensor``; exits."""
    from agent.cli.sensor_service import SENSOR_HELP, run_sensor

    sys.exit(guarded("attune-sensor", lambda: run_sensor(sys.argv[1:], "attune-sensor", SENSOR_HELP)))


def run_agent(words: list[str]) -> int:
    """Do what the words after ``attune-agent`` ask for; return the exit code."""
    if words in (["--version"], ["-V"]):
        return _version("attune-agent")
    if words and not words[0].startswith("-"):
        from agent.cli.commands import run_command

        return run_command(words[0], words[1:])
    from agent.cli.arguments import parse

    found = parse(words, detection=True)
    if found.help:
        from agent.cli.commands import COMMANDS

        details = "".join(f"  {name:<18} {command.summary}\n" for name, command in COMMANDS.items())
        names = f"       attune-agent {' | '.join(COMMANDS)} ...\n" if COMMANDS else ""
        print(AGENT_HELP.format(commands=names, details=details and "\ncommands:\n" + details), end="")
        return 0
    if found.version:
        return _version("attune-agent")
    if found.detect_only:
        from agent.cli.detect import detect

        return detect(as_json=found.json, config=found.config)
    from agent.cli.serve import serve_agent

    return serve_agent(found.config, found.name)


def run_worker(words: list[str]) -> int:
    """Do what the words after ``attune-worker`` ask for; return the exit code."""
    if words in (["--version"], ["-V"]):
        return _version("attune-worker")
    from agent.cli.arguments import parse

    found = parse(words, detection=False)
    if found.help:
        print(WORKER_HELP, end="")
        return 0
    if found.version:
        return _version("attune-worker")
    from agent.cli.serve import serve_worker

    return serve_worker(found.config, found.name)


def _version(program: str) -> int:
    from agent import __version__

    print(f"{program} {__version__}")
    return 0
