"""The command's side of the API, without a network."""
