"""A kopf operator: a Gadget becomes a ConfigMap, which it owns, and has its state in its status.

On standard output it says, one JSON object a line, what its watch saw, and which gadgets it cleaned up.
"""

import json

import kopf
from kubernetes import client, config

from reporter import VALUE, Reporter, say

KIND = ("e2e.setpoint.dev", "v1", "gadgets")
# kopf works on objects of one name side by side.
reporter = Reporter("Gadget", key="uid")


@kopf.on.startup()
def configure(settings, **_):
    config.load_kube_config()
    # A test waits for it.
    settings.networking.error_backoffs = [0.1, 0.2, 0.5, 1, 1, 1, 1]
    settings.watching.reconnect_backoff = 0.1
    settings.execution.max_workers = 4


@kopf.on.event(*KIND)
def seen(event, **_):
    # Of the changes of a moment kopf shows the last one, so an addition may look like a change.
    reporter.event("DELETED" if event["type"] == "DELETED" else "LISTED", event["object"])


@kopf.on.resume(*KIND)
@kopf.on.create(*KIND)
@kopf.on.update(*KIND)
def reconcile(name, namespace, annotations, patch, **_):
    value = annotations.get(VALUE, "")
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"gadget-{name}"}, "data": {"value": value}}
    kopf.adopt(child)
    core = client.CoreV1Api()
    try:
        core.create_namespaced_config_map(namespace, child)
    except client.exceptions.ApiException as error:
        if error.status != 409:
            raise
        core.patch_namespaced_config_map(child["metadata"]["name"], namespace, child)
    patch.status["value"] = value


@kopf.on.delete(*KIND)
def clean(name, uid, **_):
    say({"type": "CLEANED", "name": name, "uid": uid})
