"""Stand-ins for what the state machines talk to: they keep rows, messages and time in memory, and fail when told to.

Each one is typed against what it stands for, and ``mypy`` checks it: a method that changes there is an error here.
"""
