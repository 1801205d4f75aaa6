"""The frozen agent's first lines: undo what the launcher did to this process, then be the agent."""

from agent.process.frozen import settle

settle()

from agent.cli.main import agent  # noqa: E402 - nothing else may run before

agent()
