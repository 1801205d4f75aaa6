"""The only ways to read what may be hostile: files, JSON and patterns, each within limits and without waiting."""
