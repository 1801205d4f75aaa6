"""Rules: from an event to the executions that it starts. Everything but ``processor`` and ``service`` is pure."""
