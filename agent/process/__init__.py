"""Run one child process."""
