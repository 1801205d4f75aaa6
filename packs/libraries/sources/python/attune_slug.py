"""Names for addresses."""

import re

VERSION = "1.0"


def slug(title: str) -> str:
    """Return ``title`` in lower case, with a dash for all that is neither an ASCII letter nor a digit."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
