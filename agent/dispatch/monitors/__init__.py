"""What the leader looks at again and again, one file each: every change conditional, every end told."""
