"""Watches the directories that rules name: a file that is made or written there becomes an event for that rule."""

import fnmatch
import json
import os
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime

API = os.environ["ATTUNE_API_URL"]
TOKEN = os.environ["ATTUNE_API_TOKEN"]
# How far back files count when the sensor starts; its events are known again by their keys for longer than that.
LOOK_BACK = 3600


def rules():
    """Return all enabled rules of this sensor's triggers. When they change, the sensor is started again."""
    if "ATTUNE_SENSOR_TRIGGERS_FILE" in os.environ:  # a list that is too long for a variable
        with open(os.environ["ATTUNE_SENSOR_TRIGGERS_FILE"], encoding="utf-8") as file:
            return json.load(file)
    return json.loads(os.environ["ATTUNE_SENSOR_TRIGGERS"])


def send(rule, payload, key):
    """Send an event for one rule. The same key again is the same event, so an answer that got lost does no harm."""
    body = {
        "trigger_ref": rule["trigger_ref"],
        "trigger_instance_id": "rule_{}".format(rule["id"]),
        "payload": payload,
    }
    headers = {
        "Authorization": "Bearer " + TOKEN,
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    request = urllib.request.Request(API + "/api/v1/events", json.dumps(body).encode(), headers)  # noqa: S310
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


def files(rule):
    """Yield what lies in the rule's directory and counts: the path, its name, and what stat says."""
    with os.scandir(rule["config"]["path"]) as entries:
        for entry in entries:
            if fnmatch.fnmatch(entry.name, rule["config"].get("pattern", "*")) and entry.is_file():
                yield entry.path, entry.name, entry.stat()


def look(rule, since, known):
    """Send an event for each file that is new; one that can't be sent now is tried again at the next look."""
    for path, name, found in files(rule):
        key = "{}:{}:{}".format(rule["id"], found.st_ino, found.st_mtime_ns)
        if found.st_mtime < since or key in known:
            continue
        send(rule, {"path": path, "name": name, "bytes": found.st_size}, key)
        known.add(key)


def main():
    watched, since, known = rules(), {}, set()
    for rule in watched:
        created = datetime.fromisoformat(rule["created"].replace("Z", "+00:00")).timestamp()  # noqa: FURB162
        since[rule["id"]] = max(created, time.time() - LOOK_BACK)
    while True:
        for rule in watched:
            try:
                look(rule, since[rule["id"]], known)
            except (OSError, KeyError) as error:  # the server is away, refuses, or there is no such directory
                print("rule {}: {}".format(rule["ref"], error), file=sys.stderr, flush=True)
        time.sleep(1)


main()
