"""What is old goes: rows, versions of artifacts by their policies, files; in small steps, in nobody's way."""
