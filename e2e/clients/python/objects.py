"""The Python client against a cluster: typed and dynamic objects, patches, watches, logs and exec. Exit code 0: all is well.

Arguments: the image of a container with a shell.
"""

import base64
import json
import sys
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.stream import stream

NAMESPACE = "default"
PATIENCE = 30


def eventually(what, ask):
    """The first answer that is not None."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = ask()
        if answer is not None:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def refused(status, reason, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiException as error:
        said = json.loads(error.body)
        assert (error.status, said["reason"]) == (status, reason), error
        return said["message"]
    raise AssertionError(f"{call} should have been refused")


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"by": "python"}), data=data)


def typed(core):
    created = core.create_namespaced_config_map(NAMESPACE, config_map("a", k="1"))
    assert created.data == {"k": "1"} and created.metadata.uid
    message = refused(409, "AlreadyExists", core.create_namespaced_config_map, NAMESPACE, config_map("a"))
    assert message == 'configmaps "a" already exists', message
    refused(404, "NotFound", core.read_namespaced_config_map, "nothing", NAMESPACE)
    refused(422, "Invalid", core.create_namespaced_config_map, NAMESPACE, config_map("No_Name"))
    stale = core.read_namespaced_config_map("a", NAMESPACE)
    stale.data["k"] = "2"
    core.replace_namespaced_config_map("a", NAMESPACE, stale)
    refused(409, "Conflict", core.replace_namespaced_config_map, "a", NAMESPACE, stale)
    dry = core.create_namespaced_config_map(NAMESPACE, config_map("dry"), dry_run="All")
    assert dry.metadata.uid
    refused(404, "NotFound", core.read_namespaced_config_map, "dry", NAMESPACE)
    core.create_namespaced_secret(NAMESPACE, client.V1Secret(
        metadata=client.V1ObjectMeta(name="s"), string_data={"password": "hunter2"}))
    secret = core.read_namespaced_secret("s", NAMESPACE)
    assert base64.b64decode(secret.data["password"]) == b"hunter2" and secret.type == "Opaque"
    core.delete_namespaced_secret("s", NAMESPACE)


def patches(core, apps):
    # A list is a JSON patch, a dictionary a strategic merge patch.
    core.patch_namespaced_config_map("a", NAMESPACE, [{"op": "add", "path": "/data/l", "value": "3"}])
    patched = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"k": None}})
    assert patched.data == {"l": "3"}, patched.data
    container = client.V1Container(name="main", image=sys.argv[1], command=["sleep", "1000"])
    labels = {"app": "patched"}
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container]))
    spec = client.V1DeploymentSpec(replicas=0, selector=client.V1LabelSelector(match_labels=labels), template=template)
    apps.create_namespaced_deployment(NAMESPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="patched"), spec=spec))
    more = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}}}}
    apps.patch_namespaced_deployment("patched", NAMESPACE, more)
    scale = apps.patch_namespaced_deployment_scale("patched", NAMESPACE, {"spec": {"replicas": 0}})
    # Kubernetes leaves a size of zero out.
    assert not scale.spec.replicas
    found = apps.read_namespaced_deployment("patched", NAMESPACE).spec.template.spec.containers
    assert len(found) == 1 and found[0].image == sys.argv[1] and found[0].env[0].value == "1", found
    eventually("its controller saw it", lambda: (
        apps.read_namespaced_deployment_status("patched", NAMESPACE).status.observed_generation or None))
    apps.delete_namespaced_deployment("patched", NAMESPACE, propagation_policy="Foreground")
    eventually("the deployment is gone", lambda: (
        True if not apps.list_namespaced_deployment(NAMESPACE, label_selector="app=patched").items else None))


def pages(core):
    for number in range(5):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{number}"))
    names, token = [], None
    while token != "":
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="by=python", limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
    assert names == ["a"] + [f"page-{number}" for number in range(5)], names
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="by=python")
    assert not core.list_namespaced_config_map(NAMESPACE, label_selector="by=python").items


def watches(core):
    """From a list on, and from an event on."""
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("w", k="1"))
    core.patch_namespaced_config_map("w", NAMESPACE, {"data": {"k": "2"}})
    core.delete_namespaced_config_map("w", NAMESPACE)

    def events(revision, count):
        watcher, found = watch.Watch(), []
        for event in watcher.stream(core.list_namespaced_config_map, NAMESPACE, label_selector="by=python",
                                    resource_version=revision, timeout_seconds=PATIENCE):
            found.append((event["type"], event["object"].data["k"], event["object"].metadata.resource_version))
            if len(found) == count:
                watcher.stop()
        return found

    all_of_them = events(start, 3)
    assert [event[:2] for event in all_of_them] == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], all_of_them
    assert events(all_of_them[0][2], 2) == all_of_them[1:]


def pods(core):
    script = "echo begun; while read line; do echo got $line; done < /dev/stdin; sleep 1000"
    container = client.V1Container(name="main", image=sys.argv[1], command=["sh", "-c", script])
    spec = client.V1PodSpec(containers=[container], termination_grace_period_seconds=0)
    core.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=client.V1ObjectMeta(name="p"), spec=spec))
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=p", timeout_seconds=PATIENCE):
        conditions = event["object"].status.conditions or []
        if any(condition.type == "Ready" and condition.status == "True" for condition in conditions):
            watcher.stop()
    assert core.read_namespaced_pod("p", NAMESPACE).status.phase == "Running"
    log = eventually("it says something", lambda: core.read_namespaced_pod_log("p", NAMESPACE) or None)
    assert log == "begun\n", log
    said = stream(core.connect_get_namespaced_pod_exec, "p", NAMESPACE, command=["sh", "-c", "echo out; echo err >&2"],
                  stdout=True, stderr=True, stdin=False, tty=False)
    assert sorted(said.split()) == ["err", "out"], said
    shell = stream(core.connect_get_namespaced_pod_exec, "p", NAMESPACE, command=["sh"],
                   stdout=True, stderr=True, stdin=True, tty=False, _preload_content=False)
    shell.write_stdin("echo one; echo two >&2; exit 7\n")
    shell.run_forever(timeout=PATIENCE)
    assert (shell.read_stdout(), shell.read_stderr(), shell.returncode) == ("one\n", "two\n", 7)
    refused(404, "NotFound", core.read_namespaced_pod_log, "nobody", NAMESPACE)
    follow = watch.Watch()
    for line in follow.stream(core.read_namespaced_pod_log, "p", NAMESPACE):
        assert line == "begun", line
        follow.stop()
    core.delete_namespaced_pod("p", NAMESPACE)
    eventually("the pod is gone", lambda: True if not core.list_namespaced_pod(NAMESPACE, field_selector="metadata.name=p").items else None)


def dynamically(api):
    anything = dynamic.DynamicClient(api)
    maps = anything.resources.get(api_version="v1", kind="ConfigMap")
    made = maps.create(body={"metadata": {"name": "d"}, "data": {"k": "1"}}, namespace=NAMESPACE)
    assert made.data.k == "1"
    merged = maps.patch(body={"metadata": {"name": "d"}, "data": {"l": "2"}}, namespace=NAMESPACE,
                        content_type="application/merge-patch+json")
    assert merged.data.to_dict() == {"k": "1", "l": "2"}
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "data": {"k": "3"}}
    try:
        maps.server_side_apply(body=applied, name="d", namespace=NAMESPACE, field_manager="python")
        raise AssertionError("somebody else owns the field")
    except ConflictError as error:
        assert "conflict" in error.summary(), error
    forced = maps.server_side_apply(body=applied, name="d", namespace=NAMESPACE, field_manager="python", force_conflicts=True)
    assert forced.data.k == "3"
    managers = {entry.manager: entry.operation for entry in forced.metadata.managedFields}
    assert managers.get("python") == "Apply", managers
    for event in maps.watch(namespace=NAMESPACE, name="d", timeout=PATIENCE):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "d")
        break
    maps.delete(name="d", namespace=NAMESPACE)
    try:
        maps.get(name="d", namespace=NAMESPACE)
        raise AssertionError("it is not gone")
    except NotFoundError:
        pass
    deployments = anything.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.get(namespace=NAMESPACE).items == []
    # All preferred resources, by discovery.
    kinds = {resource.kind for resource in anything.resources.search() if not resource.kind.endswith("List")}
    assert {"Pod", "Deployment", "Lease", "ClusterRole"} <= kinds, kinds


def others(api, core):
    assert client.VersionApi(api).get_code().git_version.startswith("v1.35.")
    assert any(group.name == "apps" for group in client.ApisApi(api).get_api_versions().groups)
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb="delete", resource="pods", namespace=NAMESPACE)))
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "from-yaml"},
               "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}
    utils.create_from_dict(api, service, namespace=NAMESPACE)
    assert core.read_namespaced_service("from-yaml", NAMESPACE).spec.cluster_ip
    core.delete_namespaced_service("from-yaml", NAMESPACE)
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("default", NAMESPACE, request).status.token
    assert token.count(".") == 2
    limited = client.Configuration.get_default_copy()
    limited.cert_file = limited.key_file = None
    limited.api_key, limited.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
    account = client.CoreV1Api(client.ApiClient(limited))
    message = refused(403, "Forbidden", account.list_namespaced_pod, NAMESPACE)
    assert 'User "system:serviceaccount:default:default" cannot list resource "pods"' in message, message


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    for step in (lambda: typed(core), lambda: patches(core, apps), lambda: pages(core), lambda: watches(core),
                 lambda: pods(core), lambda: dynamically(api), lambda: others(api, core)):
        step()
    print("all is well")


main()
