"""Say which greeting is installed, and from where Python runs."""

import json
import sys

import attune_greeting

print(json.dumps({"greeting": attune_greeting.TEXT, "executable": sys.executable, "prefix": sys.prefix}))
