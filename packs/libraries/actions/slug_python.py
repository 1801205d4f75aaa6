"""Makes a slug with a library from a wheel. Parameters: a JSON object on standard input."""

import json
import sys

import attune_slug

title = json.load(sys.stdin)["title"]
print(json.dumps({"slug": attune_slug.slug(title), "library": attune_slug.VERSION}))
