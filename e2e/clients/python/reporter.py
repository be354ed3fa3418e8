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

    def __init__(self, kind):
        self.kind = kind
        self.known = {}

    def event(self, what, obj):
        metadata = obj["metadata"]
        last = self.known.get(metadata["name"])
        if last and last["metadata"]["resourceVersion"] == metadata["resourceVersion"]:
            # The same object again: a list said it, or that it is gone.
            if what != "DELETED":
                return
            what = "MISSED"
        if what == "LISTED":
            what = "MODIFIED" if last else "ADDED"
        if what in ("DELETED", "MISSED"):
            self.known.pop(metadata["name"], None)
        else:
            self.known[metadata["name"]] = obj
        self.say(what, metadata)

    def listed(self, objects):
        names = {obj["metadata"]["name"] for obj in objects}
        for name, obj in list(self.known.items()):
            if name not in names:
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
