"""The page of the server, without a browser."""
