"""The commands: the only place that prints an error or exits."""
