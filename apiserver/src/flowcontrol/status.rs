//! Tells in the status of FlowSchemas which of them lead to a priority level that is not there (the condition `Dangling`).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, Request};
use serde_json::json;

use super::FlowControl;
use super::bootstrap::API_VERSION;
use super::schema::{Condition, SchemaSpec};
use crate::body;
use crate::core::Core;
use crate::server;
use crate::user::UserInfo;

const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
/// Between two rounds: servers that do not agree write no faster.
const PAUSE: Duration = Duration::from_millis(200);

pub async fn run(core: &Arc<Core>, control: &FlowControl) {
    loop {
        for (name, condition) in wrong(control) {
            write(core, &name, &condition).await;
        }
        control.changed.notified().await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// The schemas whose condition is not what it should be.
fn wrong(control: &FlowControl) -> Vec<(Box<str>, Condition)> {
    let state = control.state.read().unwrap_or_else(PoisonError::into_inner);
    let wanted = |schema: &SchemaSpec| condition(schema, state.levels.values().any(|level| level.name == schema.level));
    let schemas = state.schemas.values().map(|schema| (schema, wanted(schema)));
    let wrong = schemas.filter(|(schema, wanted)| schema.dangling != *wanted);
    wrong.map(|(schema, wanted)| (schema.name.clone(), wanted)).collect()
}

fn condition(schema: &SchemaSpec, found: bool) -> Condition {
    let about = format!("This FlowSchema references the PriorityLevelConfiguration object named {:?}", schema.level);
    let (status, reason, message) = if found {
        ("False", "Found", format!("{about} and it exists"))
    } else {
        ("True", "NotFound", format!("{about} but there is no such object"))
    };
    Condition { status: status.to_owned(), reason: reason.to_owned(), message }
}

/// A server-side apply, as everybody's.
async fn write(core: &Arc<Core>, name: &str, condition: &Condition) {
    let Condition { status, reason, message } = condition;
    let condition = json!({"type": "Dangling", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": core.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    let object = json!({"apiVersion": API_VERSION, "kind": "FlowSchema", "metadata": {"name": name},
        "status": {"conditions": [condition]}});
    let path = format!("/apis/{API_VERSION}/flowschemas/{name}/status?fieldManager={MANAGER}&force=true");
    let request =
        Request::builder().method(Method::PATCH).uri(path).header(CONTENT_TYPE, "application/apply-patch+yaml");
    let Ok(request) = request.body(body::full(object.to_string())) else { return };
    let answer = server::answer(core.clone(), UserInfo::admin(), request, None).await;
    // Gone or changed meanwhile: then there will be another round.
    if !answer.status().is_success() {
        tracing::debug!(schema = name, status = %answer.status(), "the status of a flow schema is not written");
    }
}
