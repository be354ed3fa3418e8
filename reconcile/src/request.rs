//! An action as an HTTP request, with its preconditions where the server looks for them.

use kube::core::Request;
use kube::core::params::{
    DeleteParams, Patch, PatchParams, PostParams, Preconditions as DeletePreconditions, PropagationPolicy,
};
use serde_json::{Value, json};

use crate::execute::Root;
use crate::plan::{Action, PatchKind, Preconditions, Propagation, Verb};

pub(crate) fn http_request(action: &Action, root: Option<&Root>) -> Result<http::Request<Vec<u8>>, kube::Error> {
    let request = Request::new(action.path());
    let name = action.key.name.as_str();
    let built = match &action.verb {
        Verb::Create(body) => {
            let mut body = body.clone();
            if let (true, Some(root)) = (action.owned, root) {
                add_owner(&mut body, root);
            }
            request.create(&PostParams::default(), bytes(&body)?)
        }
        Verb::Replace(body) => {
            let mut body = body.clone();
            add_preconditions(&mut body, &action.preconditions);
            request.replace(name, &PostParams::default(), bytes(&body)?)
        }
        Verb::Patch { kind, body, subresource } => {
            let patch = patch(*kind, body, &action.preconditions)?;
            match subresource {
                None => request.patch(name, &PatchParams::default(), &patch),
                Some(subresource) => request.patch_subresource(subresource, name, &PatchParams::default(), &patch),
            }
        }
        Verb::Delete { .. } => request.delete(name, &delete_params(action)),
        Verb::Evict => {
            let options = json!({"preconditions": {"uid": action.preconditions.uid}});
            let body = json!({
                "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options,
                "metadata": {"name": name, "namespace": action.key.namespace},
            });
            request.create_subresource("eviction", name, &PostParams::default(), bytes(&body)?)
        }
    };
    built.map_err(kube::Error::BuildRequest)
}

fn bytes(body: &Value) -> Result<Vec<u8>, kube::Error> {
    serde_json::to_vec(body).map_err(kube::Error::SerdeError)
}

fn add_owner(body: &mut Value, root: &Root) {
    let owners = &mut body["metadata"]["ownerReferences"];
    if let Value::Array(owners) = owners {
        owners.push(root.owner_reference());
    } else {
        *owners = json!([root.owner_reference()]);
    }
}

fn add_preconditions(body: &mut Value, preconditions: &Preconditions) {
    if let Some(uid) = &preconditions.uid {
        body["metadata"]["uid"] = json!(uid);
    }
    if let Some(revision) = &preconditions.resource_version {
        body["metadata"]["resourceVersion"] = json!(revision);
    }
}

fn patch(kind: PatchKind, body: &Value, preconditions: &Preconditions) -> Result<Patch<Value>, kube::Error> {
    let mut body = body.clone();
    Ok(match kind {
        PatchKind::Json => {
            let mut tests = Vec::new();
            let fields = [("uid", &preconditions.uid), ("resourceVersion", &preconditions.resource_version)];
            for (field, value) in fields {
                if let Some(value) = value {
                    tests.push(json!({"op": "test", "path": format!("/metadata/{field}"), "value": value}));
                }
            }
            if let Value::Array(operations) = body {
                tests.extend(operations);
            }
            Patch::Json(serde_json::from_value(Value::Array(tests)).map_err(kube::Error::SerdeError)?)
        }
        PatchKind::Merge => {
            add_preconditions(&mut body, preconditions);
            Patch::Merge(body)
        }
        PatchKind::Strategic => {
            add_preconditions(&mut body, preconditions);
            Patch::Strategic(body)
        }
    })
}

fn delete_params(action: &Action) -> DeleteParams {
    let Verb::Delete { grace_period_seconds, propagation } = &action.verb else { return DeleteParams::default() };
    let policy = propagation.map(|propagation| match propagation {
        Propagation::Background => PropagationPolicy::Background,
        Propagation::Foreground => PropagationPolicy::Foreground,
        Propagation::Orphan => PropagationPolicy::Orphan,
    });
    let Preconditions { uid, resource_version } = action.preconditions.clone();
    let any = uid.is_some() || resource_version.is_some();
    DeleteParams {
        grace_period_seconds: *grace_period_seconds,
        propagation_policy: policy,
        preconditions: any.then_some(DeletePreconditions { uid, resource_version }),
        ..DeleteParams::default()
    }
}
