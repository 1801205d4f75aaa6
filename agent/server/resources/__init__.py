"""What the API has: a file for each kind of thing, its routes, its bodies and its handlers."""
