"""What can run here: interpreters, their versions, and which one an action gets."""
