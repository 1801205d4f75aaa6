#!/usr/bin/env python3
"""Waits until something accepts TCP connections; needs nothing but Python 3.8 and its standard library."""

import json
import socket
import sys
import time


def wait(host, port, timeout, interval):
    """Return (attempts, seconds waited); raise TimeoutError with the last reason."""
    started = time.monotonic()
    attempts = 0
    while True:
        attempts += 1
        left = timeout - (time.monotonic() - started)
        try:
            with socket.create_connection((host, port), timeout=max(0.05, min(left, 10.0))):
                return attempts, round(time.monotonic() - started, 3)
        except OSError as error:
            if time.monotonic() - started + interval > timeout:
                raise TimeoutError(f"{host}:{port} didn't accept a connection within {timeout:g} s: {error}") from None
        time.sleep(interval)


def main():
    parameters = json.loads(sys.stdin.read() or "{}")
    host = str(parameters.get("host") or "localhost")
    try:
        port = int(parameters["port"])
        timeout = float(parameters.get("timeout", 60))
        interval = max(0.01, float(parameters.get("interval", 0.5)))
    except (KeyError, TypeError, ValueError):
        print("port, timeout and interval must be numbers; port is required", file=sys.stderr)
        return 2
    if not 1 <= port <= 65535:
        print(f"port: {port} is not a number from 1 to 65535", file=sys.stderr)
        return 2
    try:
        attempts, waited = wait(host, port, timeout, interval)
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"host": host, "port": port, "attempts": attempts, "waited_seconds": waited}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
