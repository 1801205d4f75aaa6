"""``python -m agent``: the injected worker."""

from agent.cli.main import agent

if __name__ == "__main__":
    agent()
