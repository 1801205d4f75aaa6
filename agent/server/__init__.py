"""The HTTP side of `attune server`: the only part that knows its framework."""
