//! Reviews: questions to the authorizer and about oneself. Answered at once and never stored.

use std::collections::BTreeMap;

use api::Object;
use api::field::{FieldError, Path};
use api::meta;
use api::status::Status;
use http::StatusCode;
use serde_json::{Value, json};

use crate::authorizer::Decision;
use crate::body::Body;
use crate::call::Call;
use crate::core::qualified_kind;
use crate::metadata::time;
use crate::options::WriteOptions;
use crate::reply::Reply;
use crate::request::RequestInfo;
use crate::user::UserInfo;

pub(crate) async fn review(call: &Call, body: Body) -> Result<Reply, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let mut review = call.object(body, &options).await?;
    let status = match call.row.info.kind.as_str() {
        "SelfSubjectReview" => {
            meta::set(&mut review, "creationTimestamp", time(call.core.now()));
            json!({"userInfo": user_info(&call.user)})
        }
        "SelfSubjectAccessReview" => access(call, &review, call.user.clone()).await?,
        _ => {
            let user = named_user(call, &review)?;
            access(call, &review, user).await?
        }
    };
    review["status"] = status;
    Ok(Reply::Value { code: StatusCode::CREATED, value: review })
}

fn user_info(user: &UserInfo) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.groups.is_empty() {
        info["groups"] = user.groups.clone().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// The user that a SubjectAccessReview asks about.
fn named_user(call: &Call, review: &Object) -> Result<UserInfo, Status> {
    let spec = &review["spec"];
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (name, groups) = (spec["user"].as_str().unwrap_or_default(), texts(&spec["groups"]));
    if name.is_empty() && groups.is_empty() {
        let error = FieldError::invalid(
            &Path::new("spec").child("user"),
            "",
            "at least one of user or group must be specified",
        );
        return Err(Status::invalid(qualified_kind(&call.row), "", &[error]));
    }
    let extra: BTreeMap<_, _> =
        spec["extra"].as_object().into_iter().flatten().map(|(key, values)| (key.clone(), texts(values))).collect();
    let uid = spec["uid"].as_str().unwrap_or_default().to_owned();
    Ok(UserInfo { name: name.to_owned(), uid, groups, extra })
}

async fn access(call: &Call, review: &Object, user: UserInfo) -> Result<Value, Status> {
    let info = attributes(call, &review["spec"])?;
    let (allowed, denied, reason) = match call.core.config.authorizer.authorize(&user, &info).await {
        Decision::Allow => (true, false, String::new()),
        Decision::Deny(reason) => (false, true, reason),
        Decision::NoOpinion(reason) => (false, false, reason),
    };
    let mut status = json!({"allowed": allowed});
    if denied {
        status["denied"] = true.into();
    }
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    Ok(status)
}

fn attributes(call: &Call, spec: &Value) -> Result<RequestInfo, Status> {
    let refused = |detail: &str| {
        let error = FieldError::invalid(&Path::new("spec").child("resourceAttributes"), Value::Null, detail);
        Err(Status::invalid(qualified_kind(&call.row), "", &[error]))
    };
    let resource = spec.get("resourceAttributes").filter(|value| value.is_object());
    let other = spec.get("nonResourceAttributes").filter(|value| value.is_object());
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    match (resource, other) {
        (Some(_), Some(_)) => refused("cannot be specified in combination with nonResourceAttributes"),
        (None, None) => refused("exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (None, Some(other)) => {
            Ok(RequestInfo { path: text(other, "path"), verb: text(other, "verb"), ..RequestInfo::default() })
        }
        (Some(resource), None) => {
            let namespace =
                if call.row.info.namespaced { call.info.namespace.clone() } else { text(resource, "namespace") };
            Ok(RequestInfo {
                is_resource: true,
                verb: text(resource, "verb"),
                group: text(resource, "group"),
                version: text(resource, "version"),
                resource: text(resource, "resource"),
                subresource: text(resource, "subresource"),
                name: text(resource, "name"),
                namespace,
                ..RequestInfo::default()
            })
        }
    }
}
