"""``attune-sensor`` and ``attune-agent sensor``: read the command line, start the sensor service."""

from __future__ import annotations

from agent.cli.arguments import parse

_OPTIONS = """\
options:
  -c, --config PATH  configuration file (default: $ATTUNE_CONFIG, else /opt/attune/config/config.yaml if it exists)
  -n, --name NAME    this service's name (default: sensor.worker_name, else sensor-<hostname>)
"""
_END = """\
  -V, --version      print the version and exit
  -h, --help         print this and exit

ATTUNE_SENSOR_RUNTIMES=python,native limits what this service offers.
"""

SENSOR_HELP = f"""\
usage: attune-sensor [--config PATH] [--name NAME]

Run the sensors of packs that rules need, each in one place; verifies runtime versions when it starts.

{_OPTIONS}{_END}"""

AGENT_SENSOR_HELP = f"""\
usage: attune-agent sensor [--config PATH] [--name NAME]
       attune-agent sensor --detect-only [--json]
       attune-agent sensor doctor [--json]

Turn this container into a sensor service: find its interpreters, register, run the sensors that rules need.
The same under the name attune-sensor-agent.

{_OPTIONS}\
      --detect-only  print the runtimes found here and exit; reads no file but that of --config
      --json         with --detect-only: print JSON
{_END}"""


def agent_sensor(words: list[str]) -> int:
    """Do what the words after ``attune-agent sensor`` ask for; return the exit code."""
    if words[:1] == ["doctor"]:
        from agent.cli.doctor import doctor

        return doctor(words[1:], sensors=True)
    return run_sensor(words, "attune-sensor-agent", AGENT_SENSOR_HELP)


def run_sensor(words: list[str], program: str, usage: str) -> int:
    """Do what the words after the program's name ask for; return the exit code.

    Raises:
        UsageError: an option is unknown, lacks its value, or stands alone.
    """
    agent_mode = program != "attune-sensor"
    found = parse(words, detection=agent_mode)
    if found.help:
        print(usage, end="")
        return 0
    if found.version:
        from agent import __version__

        print(f"{program} {__version__}")
        return 0
    if found.detect_only:
        from agent.cli.detect import detect

        return detect(as_json=found.json, config=found.config, variable="ATTUNE_SENSOR_RUNTIMES")
    from agent.cli.serve import serve_sensors

    return serve_sensors(found.config, found.name, agent_mode=agent_mode)
