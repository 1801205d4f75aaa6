#!/usr/bin/env python3
"""Greets from Python. Parameters: a JSON object on standard input."""

import json
import platform
import sys

parameters = json.loads(sys.stdin.read() or "{}")
name = parameters.get("name", "World")
print(json.dumps({"greeting": f"Hello, {name}!", "language": "python", "version": platform.python_version()}))
