"""The frozen agent's first lines: undo what the launcher did to this process, then be the agent."""

from agent.process.frozen import postpone, settle

settle()
# `dataclasses` and `urllib.parse` import these for what we never or seldom ask of them, and they are slow to load.
postpone("inspect", "ipaddress")

from agent.cli.main import agent  # noqa: E402 - nothing else may run before

agent()
