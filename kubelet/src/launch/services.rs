//! Service environment variables: how containers found Services before there was DNS.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

fn address(service: &Service) -> Option<&str> {
    let ip = service.spec.as_ref()?.cluster_ip.as_deref()?;
    (!ip.is_empty() && ip != "None").then_some(ip)
}

/// Variables of one Service, in the names that Docker links had too.
fn variables(service: &Service, out: &mut BTreeMap<String, String>) {
    let (Some(ip), Some(spec)) = (address(service), service.spec.as_ref()) else { return };
    let prefix = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    out.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let (lower, number) = (protocol.to_lowercase(), port.port.to_string());
        let url = format!("{lower}://{host}:{number}");
        if index == 0 {
            out.insert(format!("{prefix}_SERVICE_PORT"), number.clone());
            out.insert(format!("{prefix}_PORT"), url.clone());
        }
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            out.insert(format!("{prefix}_SERVICE_PORT_{}", variable_name(name)), number.clone());
        }
        let port_prefix = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        out.insert(format!("{port_prefix}_PROTO"), lower);
        out.insert(format!("{port_prefix}_PORT"), number);
        out.insert(format!("{port_prefix}_ADDR"), ip.to_owned());
        out.insert(port_prefix, url);
    }
}

/// For a container of `namespace`: its own namespace's Services when `links`, and always the API server's.
pub fn environment(services: &[Arc<Service>], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let is = |service: &Service, namespace: &str, name: Option<&str>| {
        service.metadata.namespace.as_deref() == Some(namespace)
            && name.is_none_or(|name| service.metadata.name.as_deref() == Some(name))
    };
    let mut out = BTreeMap::new();
    for service in services.iter().filter(|service| is(service, "default", Some("kubernetes"))) {
        variables(service, &mut out);
    }
    for service in services.iter().filter(|service| links && is(service, namespace, None)) {
        variables(service, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_of_services() {
        let service = |namespace: &str, name: &str, ip: &str| {
            let ports = json!([{"port": 443, "name": "https"}, {"port": 53, "protocol": "UDP", "name": "dns"}]);
            let value =
                json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": ip, "ports": ports}});
            Arc::new(serde_json::from_value(value).expect("a service"))
        };
        let services = [
            service("default", "kubernetes", "10.96.0.1"),
            service("shop", "my-db", "10.96.0.9"),
            service("shop", "none", "None"),
        ];
        let all = environment(&services, "shop", true);
        let table = [
            ("KUBERNETES_SERVICE_HOST", Some("10.96.0.1")),
            ("KUBERNETES_SERVICE_PORT", Some("443")),
            ("MY_DB_SERVICE_PORT_DNS", Some("53")),
            ("MY_DB_PORT", Some("tcp://10.96.0.9:443")),
            ("MY_DB_PORT_53_UDP", Some("udp://10.96.0.9:53")),
            ("MY_DB_PORT_53_UDP_ADDR", Some("10.96.0.9")),
            ("MY_DB_PORT_443_TCP_PROTO", Some("tcp")),
            ("NONE_SERVICE_HOST", None),
        ];
        for (name, expected) in table {
            assert_eq!(all.get(name).map(String::as_str), expected, "{name}");
        }
        let unlinked = environment(&services, "shop", false);
        assert!(unlinked.contains_key("KUBERNETES_SERVICE_HOST") && !unlinked.contains_key("MY_DB_PORT"));
    }
}
