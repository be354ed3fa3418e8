//! serviceaccounts/token: tokens for service accounts, bound to pods, nodes or secrets.

use api::Object;
use api::apply::{ManagedFields, OneVersion, Set, Tracker};
use api::field::{FieldError, Path};
use api::gvk::GroupVersionKind;
use api::meta::{self, Meta};
use api::schema::SchemaSet;
use api::status::{Qualified, Status};
use http::StatusCode;
use serde_json::{Value, json};

use crate::admission::Reader;
use crate::body::Body;
use crate::call::Call;
use crate::decode;
use crate::managed::Managers;
use crate::metadata::time;
use crate::options::WriteOptions;
use crate::reply::Reply;
use crate::token::{Bound, TokenClaims};

const GROUP: &str = "authentication.k8s.io";
const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;

pub(crate) async fn issue(call: &Call, body: Body) -> Result<Reply, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let bytes = call.bytes(body).await?;
    let kind = GroupVersionKind::new(GROUP, "v1", "TokenRequest");
    let decoded = decode::object(&bytes, decode::content_type(&call.headers), &kind, options.field_validation)?;
    call.warnings.extend(decoded.warnings);
    let mut request = decoded.object;
    let name = &call.info.name;
    if request["spec"]["expirationSeconds"].is_null() {
        request["spec"]["expirationSeconds"] = DEFAULT_SECONDS.into();
    }
    let managers = managers(call, &request, &kind);
    let target = call.target(options.dry_run);
    target.mutate_below(name, &mut request).await?;
    check_place(call, &request)?;
    let account = call.core.must_read(&call.row, call.namespace(), name).await?.object;
    if !request.uid().is_empty() && request.uid() != account.uid() {
        let (asked, own) = (request.uid(), account.uid());
        let why =
            format!("the UID in the token request ({asked}) does not match the UID of the service account ({own})");
        return Err(Status::conflict(Qualified::new(GROUP, "TokenRequest"), name, &why));
    }
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or_default();
    check_seconds(seconds)?;
    target.admit_below(name, &request).await?;
    let audiences = request["spec"]["audiences"].as_array().into_iter().flatten();
    let mut claims = TokenClaims {
        namespace: call.namespace().to_owned(),
        service_account: bound(&account),
        audiences: audiences.filter_map(Value::as_str).map(str::to_owned).collect(),
        expiration_seconds: seconds,
        ..TokenClaims::default()
    };
    bind(call, &request, &mut claims).await?;
    let now = call.core.now();
    let issued = call.core.config.token_issuer.issue(&claims, now).await?;
    for (key, value) in [("name", name.as_str()), ("namespace", call.namespace()), ("uid", account.uid())] {
        meta::set(&mut request, key, value);
    }
    meta::set(&mut request, "creationTimestamp", time(now));
    managers.put_into(&mut request);
    request["spec"]["audiences"] = issued.audiences.into();
    request["status"] = json!({"token": issued.token, "expirationTimestamp": time(issued.expiration)});
    Ok(Reply::Value { code: StatusCode::CREATED, value: request })
}

/// Who asks manages what was asked, though nobody will ever read it again: upstream says so.
fn managers(call: &Call, request: &Object, kind: &GroupVersionKind) -> Managers {
    let set = SchemaSet::builtin();
    let Some(ty) = set.of_kind(kind) else { return Managers::None };
    let api_version = kind.api_version();
    let tracker = Tracker {
        versions: &OneVersion { set, ty, api_version: &api_version },
        api_version: &api_version,
        kind: &kind.kind,
        subresource: "token",
        manager: &call.manager,
        reset: &Set::default(),
        now: &time(call.core.now()),
    };
    tracker.update(None, request, ManagedFields::default()).map(Managers::new).unwrap_or_default()
}

fn check_place(call: &Call, request: &Object) -> Result<(), Status> {
    let path = Path::new("metadata");
    let wrong = |key: &str, value: &str, detail: &str| {
        let error = FieldError::invalid(&path.child(key), value, detail);
        Err(Status::invalid(Qualified::new(GROUP, "TokenRequest"), &call.info.name, &[error]))
    };
    let (name, namespace) = (request.name(), request.namespace());
    if !name.is_empty() && name != call.info.name {
        return wrong("name", name, "must match the service account name if specified");
    }
    if !namespace.is_empty() && namespace != call.namespace() {
        return wrong("namespace", namespace, "must match the service account namespace if specified");
    }
    Ok(())
}

fn check_seconds(seconds: i64) -> Result<(), Status> {
    let detail = match seconds {
        MIN_SECONDS..=MAX_SECONDS => return Ok(()),
        ..MIN_SECONDS => "may not specify a duration less than 10 minutes",
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let error = FieldError::invalid(&Path::new("spec").child("expirationSeconds"), seconds, detail);
    Err(Status::invalid(Qualified::new(GROUP, "TokenRequest"), "", &[error]))
}

async fn bind(call: &Call, request: &Object, claims: &mut TokenClaims) -> Result<(), Status> {
    let reference = &request["spec"]["boundObjectRef"];
    if !reference.is_object() {
        return Ok(());
    }
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let kind = GroupVersionKind::from_api_version(text("apiVersion"), text("kind"));
    let name = text("name");
    let uid = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => {
            let pod = must_get(call, "pods", call.namespace(), name).await?;
            let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default();
            if account != call.info.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    call.info.name
                )));
            }
            if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
                let found = call.core.get("", "nodes", "", node).await?;
                let uid = found.map(|node| node.uid().to_owned()).unwrap_or_default();
                claims.node = Some(Bound { name: node.to_owned(), uid });
            }
            claims.pod.insert(bound(&pod)).uid.clone()
        }
        ("", "Node") => {
            let node = must_get(call, "nodes", "", name).await?;
            claims.node.insert(bound(&node)).uid.clone()
        }
        ("", "Secret") => {
            let secret = must_get(call, "secrets", call.namespace(), name).await?;
            claims.secret.insert(bound(&secret)).uid.clone()
        }
        _ => {
            let slash = if kind.group.is_empty() { "/" } else { "" };
            return Err(Status::bad_request(format!("cannot bind token to object of type {slash}{kind}")));
        }
    };
    let asked = text("uid");
    if !asked.is_empty() && asked != uid {
        let why = format!(
            "the UID in the bound object reference ({asked}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        return Err(Status::conflict(Qualified::new(&kind.group, &kind.kind), name, &why));
    }
    Ok(())
}

async fn must_get(call: &Call, resource: &str, namespace: &str, name: &str) -> Result<Object, Status> {
    let found = call.core.get("", resource, namespace, name).await?;
    found.ok_or_else(|| Status::not_found(Qualified::new("", resource), name))
}

fn bound(object: &Object) -> Bound {
    Bound { name: object.name().to_owned(), uid: object.uid().to_owned() }
}
