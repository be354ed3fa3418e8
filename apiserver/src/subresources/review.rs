//! Reviews: questions to the authorizer, about tokens and about oneself. Answered at once and never stored.

use std::collections::BTreeMap;

use api::Object;
use api::meta;
use api::schema::check;
use api::status::{Qualified, Status};
use http::StatusCode;
use serde_json::{Value, json};

use super::{access, binding};
use crate::body::Body;
use crate::call::Call;
use crate::metadata::{self, time};
use crate::options::WriteOptions;
use crate::rbac::Rule;
use crate::reply::Reply;
use crate::user::UserInfo;

pub(crate) async fn review(call: &Call, body: Body) -> Result<Reply, Status> {
    if call.row.info.kind == "Binding" {
        return binding::bind(call, body).await;
    }
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let mut review = call.object(body, &options).await?;
    metadata::wipe_system_fields(&mut review);
    if call.user.node() == Some("") {
        // NodeRestriction, which is not asked about what is not stored.
        let what = Qualified::new(&call.row.info.group, &call.row.info.plural);
        let why = format!("could not determine node from user {:?}", call.user.name);
        return Err(Status::forbidden(what, "Unknown", &why));
    }
    let managers = call.target(false).track_with(&mut review, None).await?;
    let kind = call.row.info.kind.as_str();
    let status = match kind {
        "SelfSubjectReview" => {
            review = nothing(&review);
            meta::set(&mut review, "creationTimestamp", time(call.core.now()));
            json!({"userInfo": user_info(&call.user)})
        }
        "SelfSubjectRulesReview" => {
            let status = rules(call, &review).await?;
            review = nothing(&review);
            review["spec"] = json!({});
            status
        }
        "TokenReview" => token(call, &review).await?,
        _ => access::access(call, &review).await?,
    };
    review["status"] = status;
    if !matches!(kind, "SelfSubjectReview" | "SelfSubjectRulesReview") {
        managers.put_into(&mut review);
        if call.row.info.namespaced {
            meta::set(&mut review, "namespace", call.info.namespace.as_str());
        }
    }
    if let Some((set, ty)) = call.row.types() {
        // Go leaves empty lists out.
        check::conform_stored(set, ty, &mut review);
        check::complete(set, ty, &mut review);
    }
    Ok(Reply::Object { code: StatusCode::CREATED, json: review.to_string().into() })
}

/// An answer that repeats nothing of the question.
fn nothing(review: &Object) -> Object {
    json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "metadata": {}})
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

async fn rules(call: &Call, review: &Object) -> Result<Value, Status> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let found = call.core.config.authorizer.rules(&call.user, namespace).await;
    let list = |about: fn(&&Rule) -> bool| json!(found.rules.iter().filter(about).collect::<Vec<_>>());
    let mut status = json!({
        "resourceRules": list(|rule| !rule.resources.is_empty()),
        "nonResourceRules": list(|rule| !rule.non_resource_urls.is_empty()),
        "incomplete": found.incomplete,
    });
    if !found.error.is_empty() {
        status["evaluationError"] = found.error.into();
    }
    Ok(status)
}

async fn token(call: &Call, review: &Object) -> Result<Value, Status> {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = texts(&review["spec"]["audiences"]);
    let core = &*call.core;
    let known = match core.config.token_issuer.review(token, &audiences, core, core.now()).await {
        Some(found) => Some((found.user, found.audiences)),
        // Their tokens do not say for whom they are (upstream takes them to be for all who ask).
        None => match core.config.login.authenticate(token, core.now()).await {
            Some(Ok(user)) => Some((user, audiences)),
            _ => None,
        },
    };
    // What the question says of the answer stays where nothing is known (upstream).
    let mut status = if review["status"].is_object() { review["status"].clone() } else { json!({"user": {}}) };
    status["authenticated"] = known.is_some().into();
    match known {
        Some((user, audiences)) => {
            status["user"] = user_info(&user);
            status["audiences"] = json!(audiences);
        }
        None => status["error"] = "invalid bearer token".into(),
    }
    Ok(status)
}

pub(super) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The user that a SubjectAccessReview asks about.
pub(super) fn named_user(spec: &Value) -> UserInfo {
    let text = |key: &str| spec[key].as_str().unwrap_or_default().to_owned();
    let extra: BTreeMap<_, _> =
        spec["extra"].as_object().into_iter().flatten().map(|(key, values)| (key.clone(), texts(values))).collect();
    UserInfo { name: text("user"), uid: text("uid"), groups: texts(&spec["groups"]), extra }
}
