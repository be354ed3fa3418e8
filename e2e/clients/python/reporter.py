"""What a watch saw, as lines: one JSON object each."""

import json
import threading

# The annotation in which a writer counts.
VALUE = "setpoint.dev/value"
lock = threading.Lock()


def say(line):
    with lock:
        print(json.dumps(line), flush=True)


class Reporter:
    """Says what is new. A list after the first one says what was missed."""

    def __init__(self, kind, key="name"):
        self.kind, self.key = kind, key
        self.known = {}

    def event(self, what, obj):
        metadata = obj["metadata"]
        last = self.known.get(metadata[self.key])
        if last and last["metadata"]["resourceVersion"] == metadata["resourceVersion"]:
            # The same object again: a list said it, or that it is gone.
            if what != "DELETED":
                return
            what = "MISSED"
        if what == "LISTED":
            what = "MODIFIED" if last else "ADDED"
        if what in ("DELETED", "MISSED"):
            self.known.pop(metadata[self.key], None)
        else:
            self.known[metadata[self.key]] = obj
        self.say(what, metadata)

    def listed(self, objects):
        keys = {obj["metadata"][self.key] for obj in objects}
        for key, obj in list(self.known.items()):
            if key not in keys:
                self.event("DELETED", obj)
        for obj in objects:
            self.event("LISTED", obj)

    def say(self, what, metadata):
        line = {
            "type": what,
            "kind": self.kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "revision": metadata["resourceVersion"],
            "value": metadata.get("annotations", {}).get(VALUE, ""),
        }
        say(line)
