//! The objects that every cluster has: the system's namespaces, the bootstrap roles, and the Service under which pods find this
//! server.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use api::Object;
use api::status::{Reason, Status};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::core::{Core, Existing};
use crate::pipeline::{Change, Decoded, Target};
use crate::rbac;
use crate::user::UserInfo;
use crate::warnings::Warnings;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Name, value and description of the classes for pods that a cluster cannot do without.
const PRIORITIES: [(&str, i64, &str); 2] = [
    ("system-cluster-critical", 2_000_000_000, "For pods that the cluster needs and that may move to another node."),
    ("system-node-critical", 2_000_001_000, "For pods that a node needs and that may not move."),
];
const RETRY: Duration = Duration::from_secs(1);

/// Until everything is there; then done.
pub(crate) async fn run(core: &Core, cancel: CancellationToken) {
    while let Err(status) = ensure(core).await {
        tracing::warn!(%status, "objects of the system are not there yet");
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

async fn ensure(core: &Core) -> Result<(), Status> {
    for name in NAMESPACES {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(core, "", "namespaces", "", namespace).await?;
    }
    // What fails of it is tried again, after the rest is there.
    let policy = rbac::bootstrap::ensure(core).await;
    for (name, value, description) in PRIORITIES {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description});
        create(core, "scheduling.k8s.io", "priorityclasses", "", class).await?;
    }
    for (group, resource, object) in kubernetes(core) {
        put(core, group, resource, object).await?;
    }
    policy
}

/// The Service `default/kubernetes`, its Endpoints and its EndpointSlice.
fn kubernetes(core: &Core) -> [(&'static str, &'static str, Value); 3] {
    let config = &core.config;
    let first = Ipv4Addr::from(u32::from(config.service_cidr.address) + 1).to_string();
    let (address, port) = (config.advertise.ip(), config.advertise.port());
    let metadata = |labels: Value| json!({"name": "kubernetes", "namespace": "default", "labels": labels});
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(json!({"component": "apiserver", "provider": "kubernetes"})),
        "spec": {
            "clusterIP": first, "type": "ClusterIP", "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    let mirrored = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata(mirrored),
        "subsets": [{"addresses": [{"ip": address.to_string()}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    });
    let family = if matches!(address, IpAddr::V4(_)) { "IPv4" } else { "IPv6" };
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": metadata(json!({"kubernetes.io/service-name": "kubernetes"})),
        "addressType": family,
        "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    [("", "services", service), ("", "endpoints", endpoints), ("discovery.k8s.io", "endpointslices", slice)]
}

async fn create(core: &Core, group: &str, resource: &str, namespace: &str, object: Value) -> Result<(), Status> {
    write(core, group, resource, namespace, async |target| target.create(Decoded::new(object)).await.map(drop)).await
}

/// Makes the object of an earlier start point to where this server is now, or creates it.
async fn put(core: &Core, group: &str, resource: &str, object: Value) -> Result<(), Status> {
    // In this order: the Service's own address is taken, and a second Service with it would be refused for that.
    write(core, group, resource, "default", async |target| {
        match target.update("kubernetes", &Renew(object.clone())).await {
            Err(status) if status.reason == Reason::NotFound => target.create(Decoded::new(object)).await.map(drop),
            other => other.map(drop),
        }
    })
    .await
}

async fn write(
    core: &Core,
    group: &str,
    resource: &str,
    namespace: &str,
    action: impl AsyncFnOnce(Target<'_>) -> Result<(), Status>,
) -> Result<(), Status> {
    let row = core.registry.find(group, resource).ok_or_else(|| Status::internal("a system kind has no row"))?;
    let (user, warnings) = (UserInfo::admin(), Warnings::default());
    let (subresource, manager, dry_run) = ("", "kube-apiserver", false);
    let target = Target { core, user: &user, row, subresource, namespace, manager, dry_run, warnings: &warnings };
    match action(target).await {
        Err(status) if status.reason == Reason::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Everything but metadata from the wanted object; the Service keeps what it has.
struct Renew(Object);

impl Change for Renew {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        let mut new = old.object.clone();
        for (key, value) in self.0.as_object().into_iter().flatten() {
            match key.as_str() {
                "metadata" => {}
                "spec" => new["spec"]["ports"] = value["ports"].clone(),
                key => new[key] = value.clone(),
            }
        }
        Ok(Decoded::new(new))
    }
}
