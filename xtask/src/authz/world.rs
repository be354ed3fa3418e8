//! What the answers depend on: bindings of the identities, and a node called `mine` with a pod, to which all that is called
//! `mine` in the namespace `team` belongs. What is called `other` belongs to nobody.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};

use crate::bench::client::{Access, Connection};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// How long a server may take to see its own objects.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn make(access: &Access) -> Result<()> {
    let mut connection = access.connect().await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    connection.create("/api/v1/namespaces", &namespace).await?;
    for (path, object) in roles().into_iter().chain(core()).chain(others()) {
        let created = connection.create(path, &object).await;
        created.with_context(|| format!("create {} {}", object["kind"], object["metadata"]["name"]))?;
    }
    aggregate(&mut connection).await?;
    seen(&mut connection).await
}

fn role(kind: &str, name: &str, rules: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": rules})
}

fn binding(kind: &str, user: &str, role_kind: &str, role: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

fn roles() -> Vec<(&'static str, Value)> {
    let (here, everywhere) = ("RoleBinding", "ClusterRoleBinding");
    let limited = json!([
        {"apiGroups": ["", "apps"], "resources": ["configmaps", "pods/log", "deployments", "*/scale"],
         "resourceNames": ["mine"], "verbs": ["get", "list", "update", "create", "impersonate"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["example.com/own"],
         "verbs": ["approve"]},
        {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["mine"]},
    ]);
    let paths = json!([{"nonResourceURLs": ["/metrics", "/debug/*"], "verbs": ["get"]}]);
    const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/team/roles";
    const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings";
    const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    const CLUSTER_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    vec![
        (CLUSTER_BINDINGS, binding(everywhere, "bound-cluster-admin", "ClusterRole", "cluster-admin")),
        (BINDINGS, binding(here, "bound-admin", "ClusterRole", "system:aggregate-to-admin")),
        (BINDINGS, binding(here, "bound-edit", "ClusterRole", "system:aggregate-to-edit")),
        (BINDINGS, binding(here, "bound-view", "ClusterRole", "system:aggregate-to-view")),
        (CLUSTER_BINDINGS, binding(everywhere, "bound-everywhere", "ClusterRole", "view")),
        (ROLES, role("Role", "limited", &limited)),
        (BINDINGS, binding(here, "bound-by-name", "Role", "limited")),
        (CLUSTER_ROLES, role("ClusterRole", "paths", &paths)),
        (CLUSTER_BINDINGS, binding(everywhere, "bound-by-name", "ClusterRole", "paths")),
        (BINDINGS, binding(here, "bound-to-nothing", "Role", "missing")),
        (CLUSTER_BINDINGS, binding(everywhere, "bound-to-nothing", "ClusterRole", "missing")),
    ]
}

/// What the controller of aggregated roles does, which neither server has: `view` gets its rules.
async fn aggregate(connection: &mut Connection) -> Result<()> {
    for (to, from) in [("view", "view"), ("edit", "edit"), ("admin", "admin")] {
        let rules = connection.get(&format!("{RBAC}/clusterroles/system:aggregate-to-{from}")).await?["rules"].take();
        let mut role = connection.get(&format!("{RBAC}/clusterroles/{to}")).await?;
        role["rules"] = rules;
        let path = format!("{RBAC}/clusterroles/{to}");
        connection.object(Method::PUT, &path, serde_json::to_vec(&role)?.into()).await?;
    }
    Ok(())
}

fn core() -> Vec<(&'static str, Value)> {
    let named = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    let with = |mut object: Value, spec: Value| {
        object["spec"] = spec;
        object
    };
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "", "volumeName": "mine"});
    let secret = |name: &str| json!({"name": name, "namespace": "team"});
    let volume = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "team", "name": "mine"},
        "csi": {"driver": "disk.example.com", "volumeHandle": "v", "nodeStageSecretRef": secret("of-the-volume"),
            "controllerPublishSecretRef": secret("of-the-controller")}});
    let pod = json!({
        "serviceAccountName": "mine", "nodeName": "mine",
        "containers": [{"name": "c", "image": "i", "resources": {"claims": [{"name": "device"}]},
            "envFrom": [{"secretRef": {"name": "mine"}}, {"configMapRef": {"name": "mine"}}]}],
        "volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": "mine"}}],
        "resourceClaims": [{"name": "device", "resourceClaimName": "mine"}],
    });
    let elsewhere =
        json!({"serviceAccountName": "other", "nodeName": "idle", "containers": [{"name": "c", "image": "i"}]});
    vec![
        ("/api/v1/nodes", named("Node", "mine")),
        ("/api/v1/nodes", named("Node", "idle")),
        ("/api/v1/namespaces/team/serviceaccounts", named("ServiceAccount", "mine")),
        ("/api/v1/namespaces/team/serviceaccounts", named("ServiceAccount", "other")),
        ("/api/v1/namespaces/team/configmaps", named("ConfigMap", "mine")),
        ("/api/v1/namespaces/team/configmaps", named("ConfigMap", "other")),
        ("/api/v1/namespaces/team/secrets", named("Secret", "mine")),
        ("/api/v1/namespaces/team/secrets", named("Secret", "other")),
        ("/api/v1/persistentvolumes", with(named("PersistentVolume", "mine"), volume)),
        ("/api/v1/namespaces/team/persistentvolumeclaims", with(named("PersistentVolumeClaim", "mine"), claim)),
        ("/api/v1/namespaces/team/pods", with(named("Pod", "mine"), pod)),
        ("/api/v1/namespaces/team/pods", with(named("Pod", "other"), elsewhere)),
    ]
}

fn others() -> Vec<(&'static str, Value)> {
    let slice = |name: &str| {
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name},
            "spec": {"driver": "device.example.com", "nodeName": name, "devices": [{"name": "d"}],
                "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}}})
    };
    let attachment = json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "mine"},
        "spec": {"attacher": "disk.example.com", "nodeName": "mine", "source": {"persistentVolumeName": "mine"}}});
    vec![
        ("/apis/resource.k8s.io/v1/resourceslices", slice("mine")),
        ("/apis/resource.k8s.io/v1/resourceslices", slice("other")),
        ("/apis/storage.k8s.io/v1/volumeattachments", attachment),
    ]
}

/// Waits until the server's node authorizer knows the pod, its claim's volume and the rest, where it has one.
#[allow(clippy::disallowed_methods, reason = "another program is being waited for")]
async fn seen(connection: &mut Connection) -> Result<()> {
    let node = super::identities::Identity { user: "system:node:mine", groups: &["system:nodes"] };
    let begin = std::time::Instant::now();
    for (group, resource, name) in [
        ("", "secrets", "mine"),
        ("", "persistentvolumes", "mine"),
        ("storage.k8s.io", "volumeattachments", "mine"),
        ("resource.k8s.io", "resourceslices", "mine"),
    ] {
        let namespace = if resource == "secrets" { "team" } else { "" };
        let mut spec = node.spec();
        let attributes =
            json!({"verb": "get", "group": group, "resource": resource, "namespace": namespace, "name": name});
        spec.insert("resourceAttributes".to_owned(), attributes);
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        while connection.create(path, &review).await?["status"]["allowed"] != true {
            if begin.elapsed() > PATIENCE {
                bail!("the node may not get {resource} {name}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}
