"""Tests of messages and brokers that need no server."""
