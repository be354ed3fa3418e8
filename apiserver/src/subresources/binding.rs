//! pods/binding: the scheduler's word on which node a pod runs. Also `bindings`, its older form, which names the pod itself.

use api::Object;
use api::field::{FieldError, Path};
use api::gvk::GroupVersionKind;
use api::meta::{self, Meta};
use api::status::{Qualified, Status, aggregate};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::Call;
use crate::core::Existing;
use crate::decode;
use crate::metadata::{match_name, match_namespace, time};
use crate::options::WriteOptions;
use crate::pipeline::{Change, Decoded, Target};
use crate::reply::Reply;

pub(crate) async fn bind(call: &Call, body: Body) -> Result<Reply, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let bytes = call.bytes(body).await?;
    let kind = GroupVersionKind::new("", "v1", "Binding");
    let decoded = decode::object(&bytes, decode::content_type(&call.headers), &kind, options.field_validation)?;
    call.warnings.extend(decoded.warnings);
    let mut binding = decoded.object;
    match_namespace(&mut binding, call.namespace())?;
    let name = match call.info.subresource.as_str() {
        "" => binding.name().to_owned(),
        _ => call.info.name.clone(),
    };
    if name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    let target = call.target(options.dry_run);
    target.mutate_below(&name, &mut binding).await?;
    match_name(&binding, &name)?;
    let errors = validate(&binding);
    if !errors.is_empty() {
        // Upstream makes no Status of these.
        return Err(Status::plain(aggregate(&errors)));
    }
    target.admit_below(&name, &binding).await?;
    let pods = call.core.registry.get("", "v1", "pods").ok_or_else(|| Status::internal("pods are not served"))?;
    let change = Bind { binding, now: call.core.now() };
    Target { query: None, row: pods, subresource: "binding", ..target }.update(&name, &change).await?;
    let value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Reply::Value { code: StatusCode::CREATED, value })
}

fn validate(binding: &Object) -> Vec<FieldError> {
    let target = Path::new("target");
    let text = |key: &str| binding["target"][key].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    if !matches!(text("kind"), "" | "Node") {
        errors.push(FieldError::not_supported(&target.child("kind"), text("kind"), &["Node", "<empty>"]));
    }
    if text("name").is_empty() {
        errors.push(FieldError::required(&target.child("name"), ""));
    }
    errors
}

struct Bind {
    binding: Object,
    now: Timestamp,
}

impl Change for Bind {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        let pod = &old.object;
        let name = pod.name();
        let conflict = |why: String| Err(Status::conflict(Qualified::new("", "pods/binding"), name, &why));
        let (uid, version) = (self.binding.uid(), self.binding.resource_version());
        if !uid.is_empty() && uid != pod.uid() {
            let own = pod.uid();
            return conflict(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}"));
        }
        if !version.is_empty() && version != pod.resource_version() {
            let own = pod.resource_version();
            return conflict(format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {own}"
            ));
        }
        if pod.deletion_timestamp().is_some() {
            return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
            return conflict(format!("pod {name} is already assigned to node {node:?}"));
        }
        if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        let mut pod = pod.clone();
        pod["spec"]["nodeName"] = self.binding["target"]["name"].clone();
        if let Some(status) = pod["status"].as_object_mut() {
            status.remove("nominatedNodeName");
        }
        for key in ["annotations", "labels"] {
            let added = self.binding.meta_map(key).cloned().unwrap_or_default();
            if !added.is_empty() {
                let mut all = pod.meta_map(key).cloned().unwrap_or_default();
                all.extend(added);
                meta::set(&mut pod, key, Value::Object(all));
            }
        }
        set_scheduled(&mut pod["status"], self.now);
        Ok(Decoded::untracked(pod))
    }
}

/// The time of the transition stays when the condition was true before.
fn set_scheduled(status: &mut Value, now: Timestamp) {
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": time(now)});
    match conditions.iter_mut().find(|condition| condition["type"] == "PodScheduled") {
        Some(condition) if condition["status"] == "True" => {}
        Some(condition) => *condition = scheduled,
        None => conditions.push(scheduled),
    }
    status["conditions"] = conditions.into();
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::managed::Managers;

    fn bind(pod: Value) -> Result<Object, String> {
        let binding = json!({"metadata": {"name": "p", "uid": "u", "annotations": {"a": "b"}},
            "target": {"kind": "Node", "name": "n"}});
        let change = Bind { binding, now: Timestamp::UNIX_EPOCH };
        let (object, managers) = (pod, Managers::default());
        let bound = change.apply(&Existing { object, managers, json: Bytes::new(), revision: 1, stale: false });
        bound.map(|decoded| decoded.object).map_err(|status| status.message)
    }

    #[test]
    fn a_pod_is_bound_once() {
        let pod = |spec: Value| json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec, "status": {}});
        let bound = bind(pod(json!({}))).unwrap();
        assert_eq!(bound["spec"]["nodeName"], "n");
        assert_eq!(bound.annotation("a"), Some("b"));
        assert_eq!(bound["status"]["conditions"][0]["status"], "True");
        let prefix = "Operation cannot be fulfilled on pods/binding \"p\": ";
        let table = [
            (pod(json!({"nodeName": "m"})), "pod p is already assigned to node \"m\""),
            (pod(json!({"schedulingGates": [{}]})), "pod p has non-empty .spec.schedulingGates"),
            (
                json!({"metadata": {"name": "p", "uid": "u", "deletionTimestamp": "t"}, "spec": {}}),
                "pod p is being deleted, cannot be assigned to a host",
            ),
            (
                json!({"metadata": {"name": "p", "uid": "v"}, "spec": {}}),
                "Precondition failed: UID in precondition: u, UID in object meta: v",
            ),
        ];
        for (pod, why) in table {
            assert_eq!(bind(pod), Err(format!("{prefix}{why}")));
        }
    }
}
