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
use crate::custom::{Member, ScalePaths};
use crate::decode;
use crate::managed::{Managers, read_stored};
use crate::options::WriteOptions;
use crate::pipeline::{Change, Decoded, Tracking};
use crate::registry::Descriptor;
use crate::reply::Reply;
use crate::verbs::{APPLY, Configuration, Patching};

/// What upstream answers who applies a Scale of a custom resource whose count nobody manages.
const UNMANAGED: &str = "failed to create manager for existing fields: failed to convert live object (/; autoscaling/v1, \
    Kind=Scale) to proper version: request to convert CR to an invalid group/version: autoscaling/v1";

pub(crate) async fn scale(call: &Call, body: Body) -> Result<Reply, Status> {
    let kind = kind();
    let name = &call.info.name;
    let json = match call.info.verb.as_str() {
        "get" => call.core.must_read(&call.row, call.namespace(), name).await?.json,
        "update" => {
            let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
            let bytes = call.bytes(body).await?;
            let content_type = decode::content_type(&call.headers);
            let decoded = decode::object(&bytes, content_type, &kind, options.field_validation);
            let decoded = decoded.map_err(|status| unreadable(&call.row, status))?;
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
    let (mut parent, _) = read_stored(&json).map_err(Status::internal)?;
    call.row.load(&mut parent, 0)?;
    if call.info.verb == "get" {
        check_count(&call.row, &parent)?;
    }
    let mut scale = scale_of(&call.row, &parent)?;
    if scale["spec"]["replicas"] == 0 {
        // Go leaves out a zero here.
        scale["spec"] = json!({});
    }
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
            object: normal(scale_of(&self.call.row, parent)?),
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
        let mut object = parent.clone();
        put_scale(&self.call.row, &scale, &mut object);
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
            How::Patch(patch) => patch.apply_to(&live.object)?,
            How::Apply(config) => {
                if self.call.row.custom.is_some() && live.managers.decode().is_empty() {
                    return Err(Status::plain(UNMANAGED));
                }
                let api_version = self.call.row.gvk().api_version();
                let applied = config.apply(tracker, Some(live)).map_err(|status| in_scale(status, &api_version))?;
                config.tell_duplicates()?;
                return Ok((normal(applied.object), applied.managed));
            }
        };
        let wanted = normal(wanted);
        let managed = tracker.update(Some(&live.object), &wanted, live.managers.decode());
        Ok((wanted, managed.map_err(Status::internal)?))
    }
}

/// Upstream's managers of a Scale speak its version.
fn in_scale(mut status: Status, parent_version: &str) -> Status {
    let renamed = |text: &str| text.replace(&format!(" using {parent_version}"), &format!(" using {SCALE_VERSION}"));
    status.message = renamed(&status.message);
    for cause in status.details.iter_mut().flat_map(|details| &mut details.causes) {
        cause.message = renamed(&cause.message);
    }
    status
}

/// Upstream's server for custom resources knows no Scale when it wants to say what is wrong with one.
fn unreadable(row: &Descriptor, status: Status) -> Status {
    match row.custom {
        Some(_) if status.code == 400 => {
            Status::bad_request("no kind is registered for the type v1.Scale in scheme \"pkg/runtime/scheme.go:111\"")
        }
        _ => status,
    }
}

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

/// Where the kind has its count.
fn replicas_member(row: &Descriptor) -> Member {
    let custom = row.custom.as_ref().and_then(|custom| custom.scale());
    custom.map_or_else(|| Member::new(".spec.replicas"), |scale| scale.spec_replicas.clone())
}

/// Every version that has a scale has the count in the same place.
fn replicas_in(row: &Descriptor) -> impl Fn(&str) -> Option<Vec<PathElement>> {
    let known = row.gvk().api_version();
    let member = replicas_member(row);
    move |api_version| {
        let path = || member.names().iter().map(|name| PathElement::field(name)).collect();
        (api_version == known).then(path)
    }
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

/// The wanted and the present count of a custom resource, and its selector.
fn custom_scale(paths: &ScalePaths, parent: &Object) -> Result<(i64, i64, String), Status> {
    let count = |member: &Member| member.count(parent).map_err(Status::internal).map(Option::unwrap_or_default);
    let selector = paths.label_selector.as_ref().map(|member| member.text(parent)).transpose();
    let selector = selector.map_err(Status::internal)?.unwrap_or_default().to_owned();
    Ok((count(&paths.spec_replicas)?, count(&paths.status_replicas)?, selector))
}

/// A custom resource without a count has no scale to show.
fn check_count(row: &Descriptor, parent: &Object) -> Result<(), Status> {
    let member = replicas_member(row);
    match member.count(parent) {
        Ok(None) if row.custom.is_some() => {
            Err(Status::internal(format!("the spec replicas field {:?} does not exist", member.path())))
        }
        _ => Ok(()),
    }
}

/// Gives an object the count of its Scale.
pub(crate) fn put_scale(row: &Descriptor, scale: &Object, parent: &mut Object) {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
    replicas_member(row).set(parent, replicas.into());
}

/// Of the object whose Scale was written.
pub(crate) fn check_scale(row: &Descriptor, parent: &Object) -> Result<(), Status> {
    // Of a custom resource its own rules say it.
    let count = replicas_member(row).count(parent).ok().flatten().filter(|_| row.custom.is_none());
    if let Some(replicas) = count.filter(|count| *count < 0) {
        let path = Path::new("spec").child("replicas");
        let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid(Qualified::new("autoscaling", "Scale"), parent.name(), &[error]));
    }
    Ok(())
}

pub(crate) fn scale_of(row: &Descriptor, parent: &Object) -> Result<Value, Status> {
    let mut metadata = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = parent["metadata"].get(key) {
            metadata[key] = value.clone();
        }
    }
    let (wanted, present, selector) = match row.custom.as_ref().and_then(|custom| custom.scale()) {
        Some(paths) => custom_scale(paths, parent)?,
        None => {
            let count = |member: &str| parent[member]["replicas"].as_i64().unwrap_or_default();
            let selector = parent["spec"].get("selector").filter(|selector| !selector.is_null());
            // A ReplicationController's is a plain map.
            let plain = selector.filter(|_| row.info.kind == "ReplicationController");
            let plain = plain.map(|labels| json!({"matchLabels": labels}));
            let selector = LabelSelector::from_object(plain.as_ref().or(selector)).map(|selector| selector.to_string());
            (count("spec"), count("status"), selector.unwrap_or_default())
        }
    };
    let mut status = json!({"replicas": present});
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    Ok(json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": wanted}, "status": status,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_the_count_and_the_selector() {
        let parent = json!({"metadata": {"name": "a", "namespace": "n", "labels": {"x": "y"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}}, "status": {"replicas": 2}});
        assert_eq!(
            scale_of(&crate::registry::test_row(&crate::strategy::Plain), &parent).unwrap(),
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "a", "namespace": "n"},
                "spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "app=a"}})
        );
    }
}
