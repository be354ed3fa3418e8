//! Contents of /etc/hosts and /etc/resolv.conf of a pod.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod, PodSpec};

const HOSTS_HEADER: &str = "# Kubernetes-managed hosts file.\n";
const HOST_NETWORK_HEADER: &str = "# Kubernetes-managed hosts file (host network).\n";
const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                     fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

fn aliases(list: &[HostAlias]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let line =
        |alias: &HostAlias| format!("{}\t{}\n", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t"));
    format!("\n# Entries added by HostAliases.\n{}", list.iter().map(line).collect::<String>())
}

/// `node_hosts`: the node's own file, which pods on the host network see.
pub fn hosts(pod: &Pod, hostname: &str, domain: &str, ips: &[IpAddr], node_hosts: &str) -> String {
    let spec = pod.spec.as_ref();
    let extra = aliases(spec.and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default());
    if spec.and_then(|spec| spec.host_network) == Some(true) {
        return format!("{HOST_NETWORK_HEADER}{node_hosts}{extra}");
    }
    let line = |ip: &IpAddr| match domain {
        "" => format!("{ip}\t{hostname}\n"),
        domain => format!("{ip}\t{hostname}.{domain}\t{hostname}\n"),
    };
    format!("{HOSTS_HEADER}{LOCAL}{}{extra}", ips.iter().map(line).collect::<String>())
}

/// A resolver configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

impl Dns {
    pub fn parse(text: &str) -> Dns {
        let mut dns = Dns::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let keyword = words.next();
            let rest = || words.map(str::to_owned).collect::<Vec<String>>();
            match keyword {
                Some("nameserver") => dns.servers.extend(rest().into_iter().take(1)),
                Some("search") => dns.searches = rest(),
                Some("options") => dns.options = rest(),
                _ => {}
            }
        }
        dns
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        if !self.searches.is_empty() {
            out += &format!("search {}\n", self.searches.join(" "));
        }
        for server in &self.servers {
            out += &format!("nameserver {server}\n");
        }
        if !self.options.is_empty() {
            out += &format!("options {}\n", self.options.join(" "));
        }
        out
    }

    /// Resolvers take no more than three servers; duplicates are dropped, options of one name replace each other.
    fn within_limits(mut self) -> Dns {
        fn unique(list: &mut Vec<String>) {
            let mut seen = std::collections::BTreeSet::new();
            list.retain(|item| seen.insert(item.clone()));
        }
        unique(&mut self.servers);
        unique(&mut self.searches);
        self.servers.truncate(3);
        self.searches.truncate(32);
        let mut by_name: BTreeMap<String, String> = BTreeMap::new();
        for option in &self.options {
            by_name.insert(option.split(':').next().unwrap_or_default().to_owned(), option.clone());
        }
        self.options = by_name.into_values().collect();
        self
    }
}

/// By dnsPolicy and dnsConfig. Without a cluster DNS server the node's resolver stands in.
pub fn dns(pod: &Pod, node: &Dns, cluster_dns: &[IpAddr], cluster_domain: &str) -> Dns {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let cluster = match spec.dns_policy.as_deref() {
        Some("None" | "Default") => false,
        Some("ClusterFirstWithHostNet") => true,
        _ => spec.host_network != Some(true),
    };
    let mut dns = match spec.dns_policy.as_deref() {
        Some("None") => Dns::default(),
        _ if cluster && !cluster_dns.is_empty() => {
            let own = [
                format!("{namespace}.svc.{cluster_domain}"),
                format!("svc.{cluster_domain}"),
                cluster_domain.to_owned(),
            ];
            Dns {
                servers: cluster_dns.iter().map(ToString::to_string).collect(),
                searches: own.into_iter().chain(node.searches.iter().cloned()).collect(),
                options: vec!["ndots:5".to_owned()],
            }
        }
        _ => node.clone(),
    };
    if let Some(config) = &spec.dns_config {
        dns.servers.extend(config.nameservers.iter().flatten().cloned());
        dns.searches.extend(config.searches.iter().flatten().cloned());
        dns.options.extend(config.options.iter().flatten().filter_map(|option| {
            let name = option.name.clone()?;
            Some(match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name,
            })
        }));
    }
    dns.within_limits()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(mut spec: Value) -> Pod {
        spec["containers"] = json!([]);
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec})).expect("a pod")
    }

    #[test]
    fn resolver_configurations() {
        let node = Dns::parse("# comment\nnameserver 192.0.2.1\nsearch corp.example\noptions timeout:1\n");
        let ten = vec!["10.96.0.10".parse().expect("an address")];
        let cluster = "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n";
        let host = "search corp.example\nnameserver 192.0.2.1\noptions timeout:1\n";
        let config = json!({"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
        let table = [
            ("cluster first", json!({}), cluster),
            ("host network", json!({"hostNetwork": true, "dnsPolicy": "ClusterFirst"}), host),
            (
                "host network with cluster DNS",
                json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
                cluster,
            ),
            ("the node's", json!({"dnsPolicy": "Default"}), host),
            (
                "none but the config",
                json!({"dnsPolicy": "None", "dnsConfig": config}),
                "search x\nnameserver 1.1.1.1\noptions edns0 ndots:2\n",
            ),
        ];
        for (name, spec, expected) in table {
            assert_eq!(dns(&pod(spec), &node, &ten, "cluster.local").text(), expected, "{name}");
        }
        let merged = dns(&pod(json!({"dnsConfig": config})), &node, &ten, "cluster.local");
        assert_eq!(merged.options, ["edns0", "ndots:2"], "the pod's option replaces the default");
        assert_eq!(dns(&pod(json!({})), &node, &[], "cluster.local"), node, "no cluster DNS");
    }

    #[test]
    fn hosts_files() {
        let ip = ["10.1.0.2".parse().expect("an address")];
        let plain = hosts(&pod(json!({})), "p", "", &ip, "");
        assert!(plain.starts_with(HOSTS_HEADER) && plain.ends_with("10.1.0.2\tp\n"), "{plain}");
        let full =
            hosts(&pod(json!({"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]})), "p", "s.ns.svc", &ip, "");
        assert!(full.contains("10.1.0.2\tp.s.ns.svc\tp\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{full}");
        let host = hosts(&pod(json!({"hostNetwork": true})), "p", "", &ip, "127.0.0.1 localhost\n");
        assert_eq!(host, format!("{HOST_NETWORK_HEADER}127.0.0.1 localhost\n"));
    }
}
