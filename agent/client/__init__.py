"""The operator's command over the HTTP API: the same operations as on the database, from any machine."""
