"""Read packs and put them into the database."""
