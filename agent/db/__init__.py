"""Talk to PostgreSQL."""
