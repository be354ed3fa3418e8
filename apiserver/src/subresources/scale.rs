//! /scale: the replica count of a workload, as `autoscaling/v1 Scale`.

use api::Object;
use api::apply::scale::{SCALE_VERSION, to_parent, to_scale};
use api::apply::{ManagedFields, OneVersion, PathElement, Set, Tracker};
use api::field::{FieldError, Path};
use api::gvk::GroupVersionKind;
use api::meta::Meta;
use api::schema::{SchemaSet, check};
use api::selector::LabelSelector;
use api::status::{Qualified, Status};
use http::StatusCode;
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::Call;
use crate::core::{Existing, qualified};
use crate::decode;
use crate::managed::{Managers, read_stored};
use crate::options::WriteOptions;
use crate::pipeline::{Change, Decoded, Tracking};
use crate::registry::Descriptor;
use crate::reply::Reply;
use crate::verbs::{APPLY, Configuration, Patching};

pub(crate) async fn scale(call: &Call, body: Body) -> Result<Reply, Status> {
    let kind = kind();
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
        _ if decode::content_type(&call.headers) == APPLY => {
            let (config, options) = Configuration::read(call, body).await?;
            let change = Rescale { call, how: How::Apply(config) };
            call.target(options.dry_run).update(name, &change).await?.json
        }
        _ => {
            let (patch, options) = Patching::read(call, body, kind).await?;
            let change = Rescale { call, how: How::Patch(patch) };
            call.target(options.dry_run).update(name, &change).await?.json
        }
    };
    let (parent, managers) = read_stored(&json).map_err(Status::internal)?;
    let mut scale = scale_of(&parent);
    Managers::new(to_scale(&managers.decode(), &replicas_in(&call.row))).put_into(&mut scale);
    Ok(Reply::Value { code: StatusCode::OK, value: scale })
}

enum How<'a> {
    Replace(Object),
    Patch(Patching<'a>),
    Apply(Configuration<'a>),
}

struct Rescale<'a> {
    call: &'a Call,
    how: How<'a>,
}

impl Change for Rescale<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        let parent = &old.object;
        let managed = old.managers.decode();
        let live = Existing {
            object: normal(scale_of(parent)),
            managers: Managers::new(to_scale(&managed, &replicas_in(&self.call.row))),
            ..old.clone()
        };
        let (scale, scale_managed) = self.rescaled(&live)?;
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
        let mut object = parent.clone();
        object["spec"]["replicas"] = replicas.into();
        let api_version = self.call.row.gvk().api_version();
        let managed = to_parent(&managed, &scale_managed, &api_version, &replicas_in(&self.call.row));
        Ok(Decoded { object, tracking: Tracking::Known(managed) })
    }
}

impl Rescale<'_> {
    /// The wanted Scale and its managers.
    fn rescaled(&self, live: &Existing) -> Result<(Object, ManagedFields), Status> {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&kind()).ok_or_else(|| Status::internal("Scale has no schema"))?;
        let versions = OneVersion { set, ty, api_version: SCALE_VERSION };
        let tracker = Tracker {
            versions: &versions,
            api_version: SCALE_VERSION,
            kind: "Scale",
            subresource: "scale",
            manager: &self.call.manager,
            reset: &Set::default(),
            now: &crate::metadata::time(self.call.core.now()),
        };
        let wanted = match &self.how {
            How::Replace(scale) => scale.clone(),
            How::Patch(patch) => patch.apply_to(live.object.clone())?,
            How::Apply(config) => {
                let applied = config.apply(tracker, Some(live))?;
                return Ok((normal(applied.object), applied.managed));
            }
        };
        let wanted = normal(wanted);
        let managed = tracker.update(Some(&live.object), &wanted, live.managers.decode());
        Ok((wanted, managed.map_err(Status::internal)?))
    }
}

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

/// Every version that has a scale has the count in the same place.
fn replicas_in(row: &Descriptor) -> impl Fn(&str) -> Option<Vec<PathElement>> {
    let known = row.gvk().api_version();
    move |api_version| (api_version == known).then(|| ["spec", "replicas"].map(PathElement::field).to_vec())
}

/// As Go has it: without managedFields, with what is always there.
fn normal(mut scale: Object) -> Object {
    let set = SchemaSet::builtin();
    if let Some(ty) = set.of_kind(&kind()) {
        check::conform(set, ty, &mut scale);
        check::complete(set, ty, &mut scale);
    }
    api::meta::set(&mut scale, "managedFields", Value::Null);
    scale
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
