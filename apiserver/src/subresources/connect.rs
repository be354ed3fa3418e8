//! exec, attach, port-forward and proxy as admission sees them: the options of a connection, which it may change or refuse before there is one.

use api::Object;
use api::gvk::GroupVersionKind;
use api::status::Status;
use serde_json::{Value, json};

use crate::call::Call;
use crate::query::Query;

/// The options of the request as admission leaves them. `to` is what is connected to.
pub(super) async fn admit(call: &Call, to: &Object) -> Result<Object, Status> {
    let Some(subresource) = call.row.info.subresource(&call.info.subresource) else {
        return Err(Status::internal("there is no such subresource"));
    };
    let options = match call.info.subresource.as_str() {
        "proxy" => proxy_options(&subresource.kind, &format!("/{}", call.info.rest)),
        _ => connect_options(&subresource.kind, &call.query),
    };
    call.target(false).connect(&call.info.name, to, options).await
}

fn proxy_options(kind: &GroupVersionKind, path: &str) -> Object {
    json!({"kind": kind.kind, "apiVersion": kind.api_version(), "path": path})
}

fn connect_options(kind: &GroupVersionKind, query: &Query) -> Object {
    let mut options = json!({"kind": kind.kind, "apiVersion": kind.api_version()});
    // Absent, these two are on.
    for (key, default) in [("stdin", false), ("stdout", true), ("stderr", true), ("tty", false)] {
        let on = if query.get(key).is_some() { query.flag(key) } else { default };
        if on && kind.kind != "PodPortForwardOptions" {
            options[key] = true.into();
        }
    }
    if let Some(container) = query.get("container").filter(|container| !container.is_empty()) {
        options["container"] = container.into();
    }
    match kind.kind.as_str() {
        "PodExecOptions" => options["command"] = query.all("command").collect::<Vec<_>>().into(),
        "PodPortForwardOptions" => {
            let ports = query.all("ports").flat_map(|ports| ports.split(','));
            let ports: Vec<u16> = ports.filter_map(|port| port.parse().ok()).collect();
            if !ports.is_empty() {
                options["ports"] = ports.into();
            }
        }
        _ => {}
    }
    options
}

/// A text of the options.
pub(super) fn text<'o>(options: &'o Object, key: &str) -> &'o str {
    options[key].as_str().unwrap_or_default()
}

/// The elements of a list of the options.
pub(super) fn list<'o>(options: &'o Object, key: &str) -> impl Iterator<Item = &'o Value> {
    options[key].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_objects() {
        let kind = |kind: &str| GroupVersionKind::new("", "v1", kind);
        let exec = json!({"kind": "PodExecOptions", "apiVersion": "v1", "stdout": true, "stderr": true, "container": "c",
            "command": ["sh", "-c"]});
        let table = [
            ("PodExecOptions", "command=sh&command=-c&container=c", exec),
            (
                "PodAttachOptions",
                "stdin=true&stderr=false",
                json!({"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": true, "stdout": true}),
            ),
            (
                "PodPortForwardOptions",
                "ports=80,443&ports=8080",
                json!({"kind": "PodPortForwardOptions", "apiVersion": "v1", "ports": [80, 443, 8080]}),
            ),
        ];
        for (name, query, expected) in table {
            assert_eq!(connect_options(&kind(name), &Query::parse(query)), expected);
        }
    }
}
