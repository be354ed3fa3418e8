//! /scale: the replica count of a workload, as `autoscaling/v1 Scale`.

use api::Object;
use api::field::{FieldError, Path};
use api::gvk::GroupVersionKind;
use api::meta::Meta;
use api::selector::LabelSelector;
use api::status::{Qualified, Status};
use http::StatusCode;
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::Call;
use crate::core::qualified;
use crate::decode;
use crate::options::WriteOptions;
use crate::pipeline::Change;
use crate::reply::Reply;
use crate::verbs::Patching;

pub(crate) async fn scale(call: &Call, body: Body) -> Result<Reply, Status> {
    let kind = GroupVersionKind::new("autoscaling", "v1", "Scale");
    let name = &call.info.name;
    let json = match call.info.verb.as_str() {
        "get" => call.core.must_read(&call.row, call.namespace(), name).await?.json,
        "update" => {
            let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
            let bytes = call.bytes(body).await?;
            let content_type = decode::content_type(&call.headers);
            let decoded = decode::object(&bytes, content_type, &kind, options.field_validation)?;
            call.warnings.extend(decoded.warnings);
            crate::metadata::match_name(&decoded.object, name)?;
            let change = Rescale { call, how: How::Replace(decoded.object) };
            call.target(options.dry_run).update(name, &change).await?.json
        }
        _ => {
            let (patch, options) = Patching::read(call, body, kind).await?;
            let change = Rescale { call, how: How::Patch(patch) };
            call.target(options.dry_run).update(name, &change).await?.json
        }
    };
    let parent: Object = serde_json::from_slice(&json).map_err(Status::internal)?;
    Ok(Reply::Value { code: StatusCode::OK, value: scale_of(&parent) })
}

enum How<'a> {
    Replace(Object),
    Patch(Patching<'a>),
}

struct Rescale<'a> {
    call: &'a Call,
    how: How<'a>,
}

impl Change for Rescale<'_> {
    fn apply(&self, parent: &Object) -> Result<Object, Status> {
        let scale = match &self.how {
            How::Replace(scale) => scale.clone(),
            How::Patch(patch) => patch.apply_to(scale_of(parent))?,
        };
        let name = parent.name();
        crate::metadata::match_name(&scale, name)?;
        for (own, asked) in [(parent.uid(), scale.uid()), (parent.resource_version(), scale.resource_version())] {
            if !asked.is_empty() && asked != own {
                return Err(Status::modified(qualified(&self.call.row), name));
            }
        }
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas < 0 {
            let path = Path::new("spec").child("replicas");
            let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
            return Err(Status::invalid(Qualified::new("autoscaling", "Scale"), name, &[error]));
        }
        let mut parent = parent.clone();
        parent["spec"]["replicas"] = replicas.into();
        Ok(parent)
    }
}

fn scale_of(parent: &Object) -> Value {
    let mut metadata = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = parent["metadata"].get(key) {
            metadata[key] = value.clone();
        }
    }
    let mut status = json!({"replicas": parent["status"]["replicas"].as_i64().unwrap_or_default()});
    let selector = parent["spec"].get("selector").filter(|selector| !selector.is_null());
    if let Ok(selector) = LabelSelector::from_object(selector) {
        let text = selector.to_string();
        if !text.is_empty() {
            status["selector"] = text.into();
        }
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": parent["spec"]["replicas"].as_i64().unwrap_or_default()}, "status": status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_the_count_and_the_selector() {
        let parent = json!({"metadata": {"name": "a", "namespace": "n", "labels": {"x": "y"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}}, "status": {"replicas": 2}});
        assert_eq!(
            scale_of(&parent),
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "a", "namespace": "n"},
                "spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "app=a"}})
        );
    }
}
