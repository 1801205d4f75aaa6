"""Injected faults: a deployment of real servers and agents, scenarios that break it, and an audit of what is left."""
