"""Workers that share no volume with the server."""
