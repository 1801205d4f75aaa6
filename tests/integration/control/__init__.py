"""The operator's side against a real database."""
