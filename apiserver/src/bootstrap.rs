//! The objects that every cluster has: the system's namespaces, the bootstrap roles, and the Service under which pods find this
//! server.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
    let services = core.config.service_cidr;
    let range = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [format!("{}/{}", services.address, services.prefix)]}});
    create(core, "networking.k8s.io", "servicecidrs", "", range).await?;
    let (group, resource, service) = service(core);
    put(core, group, resource, service).await?;
    // Servers that share a store publish each other.
    if !core.config.store.is_shared() {
        publish(core, &BTreeSet::from([core.config.advertise])).await?;
    }
    policy
}

/// Makes these servers the endpoints of the Service `default/kubernetes`.
pub(crate) async fn publish(core: &Core, servers: &BTreeSet<SocketAddr>) -> Result<(), Status> {
    for (group, resource, object) in endpoints(servers) {
        put(core, group, resource, object).await?;
    }
    Ok(())
}

fn metadata(labels: &Value) -> Value {
    json!({"name": "kubernetes", "namespace": "default", "labels": labels})
}

/// The Service under which pods find the servers.
fn service(core: &Core) -> (&'static str, &'static str, Value) {
    let first = Ipv4Addr::from(u32::from(core.config.service_cidr.address) + 1).to_string();
    let port = core.config.advertise.port();
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(&json!({"component": "apiserver", "provider": "kubernetes"})),
        "spec": {
            "clusterIP": first, "type": "ClusterIP", "sessionAffinity": "None", "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    ("", "services", service)
}

/// Its Endpoints and its EndpointSlice. A slice has one port: servers on another than the first one's are in the Endpoints only.
fn endpoints(servers: &BTreeSet<SocketAddr>) -> [(&'static str, &'static str, Value); 2] {
    let ports: BTreeSet<u16> = servers.iter().map(SocketAddr::port).collect();
    let port = servers.first().map(SocketAddr::port).unwrap_or_default();
    let addresses = |port: u16| servers.iter().filter(move |server| server.port() == port).map(SocketAddr::ip);
    let subsets = ports.iter().map(|port| {
        let addresses: Vec<Value> = addresses(*port).map(|address| json!({"ip": address.to_string()})).collect();
        json!({"addresses": addresses, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]})
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": metadata(&json!({"endpointslice.kubernetes.io/skip-mirror": "true"})),
        "subsets": subsets.collect::<Vec<_>>(),
    });
    let is_v6 = servers.first().is_some_and(|server| matches!(server.ip(), IpAddr::V6(_)));
    let ready: Vec<Value> = addresses(port)
        .map(|address| json!({"addresses": [address.to_string()], "conditions": {"ready": true}}))
        .collect();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": metadata(&json!({"kubernetes.io/service-name": "kubernetes"})),
        "addressType": if is_v6 { "IPv6" } else { "IPv4" },
        "endpoints": ready,
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    [("", "endpoints", endpoints), ("discovery.k8s.io", "endpointslices", slice)]
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

pub(crate) async fn write(
    core: &Core,
    group: &str,
    resource: &str,
    namespace: &str,
    action: impl AsyncFnOnce(Target<'_>) -> Result<(), Status>,
) -> Result<(), Status> {
    let row = core.registry.find(group, resource).ok_or_else(|| Status::internal("a system kind has no row"))?;
    let (user, warnings) = (UserInfo::admin(), Warnings::default());
    let (subresource, manager, dry_run) = ("", "kube-apiserver", false);
    let warnings = &warnings;
    let target = Target { core, user: &user, row, subresource, namespace, manager, dry_run, warnings, query: None };
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
