"""The worker service: its life and its threads."""
