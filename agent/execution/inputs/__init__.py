"""What an action is given: its parameters, its file or script, its variables, a place for temporary files."""
