"""Files of deploy/ that need no program to be looked into."""
