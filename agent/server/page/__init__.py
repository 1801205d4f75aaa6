"""The page of `attune server` for people: HTML made of the same handlers that answer the API."""
