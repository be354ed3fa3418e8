//! Downward API values: what `fieldRef` and `resourceFieldRef` stand for, in variables and in files.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, Pod, ResourceFieldSelector};

use super::qos::{ResourceMap, containers};

/// What a pod's fields stand for beyond what its spec says.
#[derive(Clone, Debug, Default)]
pub struct FieldFacts {
    pub host_ips: Vec<IpAddr>,
    pub pod_ips: Vec<IpAddr>,
    /// Stands in for limits that a container does not have.
    pub allocatable: ResourceMap,
}

fn join(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn map_text(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", go_quote(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// A string literal as Go's `%q` writes it: consumers of downward API files parse it so.
fn go_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `metadata.labels['key']` → (`labels`, `key`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_prefix("metadata.")?.split_once("['")?;
    Some((map, key.strip_suffix("']")?))
}

/// core/v1 ObjectFieldSelector.
pub fn field(selector: &ObjectFieldSelector, pod: &Pod, facts: &FieldFacts) -> Result<String, String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    if let Some((map, key)) = subscript(&selector.field_path) {
        let of = match map {
            "labels" => metadata.labels.as_ref(),
            "annotations" => metadata.annotations.as_ref(),
            _ => return Err(format!("invalid field path {:?}", selector.field_path)),
        };
        return Ok(text(of.and_then(|map| map.get(key))));
    }
    Ok(match selector.field_path.as_str() {
        "metadata.name" => text(metadata.name.as_ref()),
        "metadata.namespace" => text(metadata.namespace.as_ref()),
        "metadata.uid" => text(metadata.uid.as_ref()),
        "metadata.labels" => map_text(metadata.labels.as_ref()),
        "metadata.annotations" => map_text(metadata.annotations.as_ref()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => facts.host_ips.first().map(ToString::to_string).unwrap_or_default(),
        "status.hostIPs" => join(&facts.host_ips),
        "status.podIP" => facts.pod_ips.first().map(ToString::to_string).unwrap_or_default(),
        "status.podIPs" => join(&facts.pod_ips),
        other => return Err(format!("unsupported fieldPath: {other}")),
    })
}

/// core/v1 ResourceFieldSelector: the amount in units of the divisor, rounded up.
pub fn resource(
    selector: &ResourceFieldSelector,
    pod: &Pod,
    own: Option<&Container>,
    facts: &FieldFacts,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match (named, pod.spec.as_ref()) {
        (Some(name), Some(spec)) => containers(spec).find(|container| container.name == name),
        (None, _) => own,
        (_, None) => None,
    };
    let container = container.ok_or_else(|| format!("container {} not found", named.unwrap_or_default()))?;
    let (kind, name) = selector.resource.split_once('.').unwrap_or_default();
    let resources = container.resources.as_ref();
    let given = |map: Option<&ResourceMap>| {
        let quantity = map.and_then(|map| map.get(name)).and_then(|quantity| Quantity::parse(&quantity.0).ok());
        quantity.filter(|quantity| !quantity.is_zero())
    };
    let amount = match kind {
        "limits" => given(resources.and_then(|r| r.limits.as_ref())).or_else(|| given(Some(&facts.allocatable))),
        "requests" => given(resources.and_then(|r| r.requests.as_ref())),
        _ => return Err(format!("unsupported container resource : {}", selector.resource)),
    };
    let amount = amount.unwrap_or_else(Quantity::zero);
    let divisor = selector.divisor.as_ref().and_then(|divisor| Quantity::parse(&divisor.0).ok());
    let divisor = divisor.filter(|divisor| !divisor.is_zero());
    let (amount, divisor) = match name {
        "cpu" => (amount.milli_value(), divisor.map_or(1000, |divisor| divisor.milli_value())),
        _ => (amount.value(), divisor.map_or(1, |divisor| divisor.value())),
    };
    Ok(amount.saturating_add(divisor - 1).checked_div(divisor.max(1)).unwrap_or(0).to_string())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
    use serde_json::json;

    use super::*;

    fn example() -> (Pod, FieldFacts) {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"b": "2", "a": "say \"hi\"\n"}},
            "spec": {"nodeName": "n1", "serviceAccountName": "default", "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "65Mi"}, "requests": {"memory": "1"}}},
                {"name": "bare"}
            ]}
        }));
        let facts = FieldFacts {
            host_ips: vec!["10.0.0.1".parse().expect("an address")],
            pod_ips: vec!["10.1.0.2".parse().expect("an address"), "fd00::2".parse().expect("an address")],
            allocatable: [("cpu".to_owned(), ApiQuantity("2".to_owned()))].into(),
        };
        (pod.expect("a pod"), facts)
    }

    #[test]
    fn fields() {
        let (pod, facts) = example();
        let table = [
            ("metadata.name", Ok("web")),
            ("metadata.labels['b']", Ok("2")),
            ("metadata.annotations['none']", Ok("")),
            ("metadata.labels", Ok("a=\"say \\\"hi\\\"\\n\"\nb=\"2\"")),
            ("spec.nodeName", Ok("n1")),
            ("status.podIP", Ok("10.1.0.2")),
            ("status.podIPs", Ok("10.1.0.2,fd00::2")),
            ("status.hostIP", Ok("10.0.0.1")),
            ("spec.restartPolicy", Err("unsupported fieldPath: spec.restartPolicy")),
        ];
        for (path, expected) in table {
            let selector = ObjectFieldSelector { api_version: None, field_path: path.to_owned() };
            let actual = field(&selector, &pod, &facts);
            assert_eq!(actual.as_deref().map_err(String::as_str), expected, "{path}");
        }
    }

    #[test]
    fn resources() {
        let (pod, facts) = example();
        let table = [
            ("c", "limits.cpu", "", "2"),
            ("c", "limits.cpu", "1m", "1500"),
            ("c", "limits.memory", "", "68157440"),
            ("c", "limits.memory", "1Mi", "65"),
            ("c", "requests.memory", "1Mi", "1"),
            ("c", "requests.cpu", "", "0"),
            ("bare", "limits.cpu", "1m", "2000"),
        ];
        for (container, name, divisor, expected) in table {
            let divisor = (!divisor.is_empty()).then(|| ApiQuantity(divisor.to_owned()));
            let container_name = Some(container.to_owned());
            let selector = ResourceFieldSelector { container_name, divisor, resource: name.to_owned() };
            assert_eq!(resource(&selector, &pod, None, &facts).as_deref(), Ok(expected), "{container} {name}");
        }
    }
}
