"""Watches ConfigMaps with a SharedInformer, Secrets with a watch that is resumed, and Deployments with the dynamic client.

On standard output it says, one JSON object a line, what it saw. It ends when its input does.
"""

import sys
import threading
import time

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import SharedInformer

from reporter import Reporter

NAMESPACE = "default"
LABEL = "e2e=yes"
FIELD = "type=setpoint.dev/watched"


def informed(api, core):
    reporter = Reporter("ConfigMap")
    informer = SharedInformer(core.list_namespaced_config_map, namespace=NAMESPACE, label_selector=LABEL)
    for what in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(what, lambda obj, what=what: reporter.event(what, api.sanitize_for_serialization(obj)))
    informer.start()
    return informer


def resumed(api, core):
    """List, watch, go on where the last watch ended; list again when that is too long ago."""
    reporter, revision = Reporter("Secret"), None
    while True:
        try:
            if revision is None:
                found = core.list_namespaced_secret(NAMESPACE, field_selector=FIELD)
                reporter.listed([api.sanitize_for_serialization(secret) for secret in found.items])
                revision = found.metadata.resource_version
            for event in watch.Watch().stream(core.list_namespaced_secret, NAMESPACE, field_selector=FIELD,
                                              resource_version=revision, allow_watch_bookmarks=True, timeout_seconds=300):
                revision = event["raw_object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    reporter.event(event["type"], event["raw_object"])
        except ApiException as error:
            if error.status == 410:
                revision = None
        except Exception as error:  # pylint: disable=broad-except
            print(f"again: {error}", file=sys.stderr, flush=True)
            time.sleep(0.2)


def dynamically(api):
    """The same with the dynamic client, whose watch ends where the server ends it."""
    deployments = dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")
    reporter, revision = Reporter("Deployment"), None
    while True:
        try:
            if revision is None:
                found = deployments.get(namespace=NAMESPACE, label_selector=LABEL)
                reporter.listed([item.to_dict() for item in found.items])
                revision = found.metadata.resourceVersion
            for event in deployments.watch(namespace=NAMESPACE, label_selector=LABEL, resource_version=revision, timeout=300):
                revision = event["raw_object"]["metadata"]["resourceVersion"]
                reporter.event(event["type"], event["raw_object"])
        except ApiException as error:
            if error.status == 410:
                revision = None
        except Exception as error:  # pylint: disable=broad-except
            print(f"again: {error}", file=sys.stderr, flush=True)
            time.sleep(0.2)


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core = client.CoreV1Api(api)
    informed(api, core)
    for work in (lambda: resumed(api, core), lambda: dynamically(api)):
        threading.Thread(target=work, daemon=True).start()
    sys.stdin.read()


main()
