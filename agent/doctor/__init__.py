"""CHECK THIS CONTAINER: what would keep the agent from working here, and what to do about it."""
