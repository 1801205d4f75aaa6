"""The command against HTTP servers."""
