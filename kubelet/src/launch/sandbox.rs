//! The sandbox of a pod: its names, namespaces and cgroup.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use runtime::spec::{SandboxNetwork, SandboxSpec};

use super::{labels, resources};

/// A host name holds 63 bytes.
const LONGEST_HOSTNAME: usize = 63;

/// Host name and domain of a pod; the domain is empty without `subdomain`.
pub fn names(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let filled = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    if let Some(name) = filled(&spec.hostname_override) {
        return (shortened(&name), String::new());
    }
    let name = filled(&spec.hostname).or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    let domain = filled(&spec.subdomain).map(|sub| format!("{sub}.{namespace}.svc.{cluster_domain}"));
    (shortened(&name), domain.unwrap_or_default())
}

fn shortened(name: &str) -> String {
    let end = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST_HOSTNAME).last();
    name[..end.unwrap_or(0)].trim_end_matches(['-', '.']).to_owned()
}

/// What `hostname` answers in the pod.
pub fn hostname(pod: &Pod, cluster_domain: &str, node_name: &str) -> Result<String, String> {
    let spec = pod.spec.as_ref();
    let (name, domain) = names(pod, cluster_domain);
    let overridden = spec.and_then(|spec| spec.hostname_override.as_deref()).is_some_and(|name| !name.is_empty());
    if spec.and_then(|spec| spec.host_network) == Some(true) && !overridden {
        return Ok(node_name.to_owned());
    }
    if spec.and_then(|spec| spec.set_hostname_as_fqdn) == Some(true) && !domain.is_empty() {
        let full = format!("{name}.{domain}");
        return match full.len() <= LONGEST_HOSTNAME + 1 {
            true => Ok(full),
            false => Err(format!(
                "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long (64 characters is the max, {} characters requested)",
                full.len()
            )),
        };
    }
    Ok(name)
}

pub fn sandbox_id(uid: &str, attempt: u32) -> String {
    format!("{uid}-{attempt}")
}

pub fn spec(pod: &Pod, attempt: u32, hostname: String, network: Option<SandboxNetwork>) -> SandboxSpec {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    let sysctls: BTreeMap<String, String> = sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect();
    SandboxSpec {
        id: sandbox_id(pod.metadata.uid.as_deref().unwrap_or_default(), attempt),
        hostname,
        network,
        host_ipc: spec.host_ipc == Some(true),
        host_pid: spec.host_pid == Some(true),
        shared_pid: spec.share_process_namespace == Some(true),
        cgroup: resources::cgroup(pod),
        resources: resources::of_pod(spec),
        sysctls,
        labels: labels::of_pod(pod, attempt),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn host_names() {
        let long = "x".repeat(70);
        let table = [
            ("the pod's name", json!({}), "web", Ok("web")),
            ("given", json!({"hostname": "h"}), "web", Ok("h")),
            ("a subdomain alone changes nothing", json!({"subdomain": "s"}), "web", Ok("web")),
            (
                "fully qualified",
                json!({"subdomain": "s", "setHostnameAsFQDN": true}),
                "web",
                Ok("web.s.ns.svc.cluster.local"),
            ),
            ("host network", json!({"hostNetwork": true}), "web", Ok("node-1")),
            ("override", json!({"hostnameOverride": "o.example", "subdomain": "s"}), "web", Ok("o.example")),
            ("too long, cut", json!({}), long.as_str(), Ok(&long[..63])),
            ("too long, qualified", json!({"subdomain": "s", "setHostnameAsFQDN": true}), long.as_str(), Err(())),
        ];
        for (name, mut spec, pod_name, expected) in table {
            spec["containers"] = json!([]);
            let pod: Pod =
                serde_json::from_value(json!({"metadata": {"name": pod_name, "namespace": "ns"}, "spec": spec}))
                    .expect(name);
            let actual = hostname(&pod, "cluster.local", "node-1");
            assert_eq!(actual.as_deref().map_err(|_| ()), expected, "{name}");
        }
    }
}
