//! pods/eviction: a deletion that PodDisruptionBudgets may refuse.

use api::Object;
use api::gvk::GroupVersionKind;
use api::meta::Meta;
use api::selector::LabelSelector;
use api::status::{Cause, Reason, Status};
use http::StatusCode;
use serde_json::{Value, json};

use crate::admission::Reader;
use crate::body::Body;
use crate::call::Call;
use crate::core::Existing;
use crate::decode;
use crate::metadata::time;
use crate::options::{DeleteOptions, WriteOptions};
use crate::pipeline::{Change, Decoded, Target};
use crate::reply::Reply;

pub(crate) async fn evict(call: &Call, body: Body) -> Result<Reply, Status> {
    let write = WriteOptions::parse(&call.query, "CreateOptions")?;
    let bytes = call.bytes(body).await?;
    let kind = GroupVersionKind::new("policy", "v1", "Eviction");
    let decoded = decode::object(&bytes, decode::content_type(&call.headers), &kind, write.field_validation)?;
    call.warnings.extend(decoded.warnings);
    let eviction = decoded.object;
    if eviction.name() != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let asked = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    let mut options = DeleteOptions::parse(&call.query, Some(&asked))?;
    options.dry_run |= write.dry_run;
    let pod = call.core.must_read(&call.row, call.namespace(), &call.info.name).await?;
    if !ignores_budgets(&pod.object) {
        spend(call, &pod.object, options.dry_run).await?;
    }
    // The pod that the budget was spent for, and no other of its name.
    options.uid.get_or_insert_with(|| pod.object.uid().to_owned());
    let target = Target { subresource: "status", ..call.target(options.dry_run) };
    if !options.dry_run {
        let mark = Mark { target: &target, options: &options, now: time(call.core.now()) };
        let marked = target.update(&call.info.name, &mark).await?;
        if options.resource_version.is_some() {
            let marked: Object = serde_json::from_slice(&marked.json).map_err(Status::internal)?;
            options.resource_version = Some(marked.resource_version().to_owned());
        }
    }
    let target = Target { subresource: "", ..target };
    target.delete(&call.info.name, &options).await?;
    let value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Reply::Value { code: StatusCode::CREATED, value })
}

/// Its end disrupts nobody.
fn ignores_budgets(pod: &Object) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || pod.deletion_timestamp().is_some()
}

/// Takes one allowed disruption from the pod's budget, if it has one.
async fn spend(call: &Call, pod: &Object, dry_run: bool) -> Result<(), Status> {
    let budgets = call.core.list("policy", "poddisruptionbudgets", call.namespace()).await?;
    let covers = |budget: &Object| {
        let selector = LabelSelector::from_object(budget["spec"].get("selector"));
        selector.is_ok_and(|selector| selector.matches_object(pod))
    };
    let budgets: Vec<Object> = budgets.into_iter().filter(covers).collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            let why =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::internal(why));
        }
    };
    let row = call.core.registry.find("policy", "poddisruptionbudgets");
    let row = row.ok_or_else(|| Status::internal("a served resource has no row"))?;
    let target = Target { row, subresource: "status", ..call.target(dry_run) };
    let change = Spend { pod: pod.name().to_owned(), now: time(call.core.now()) };
    match target.update(budget.name(), &change).await {
        Ok(_) => Ok(()),
        // The budget went in the meantime.
        Err(status) if status.reason == Reason::NotFound => Ok(()),
        Err(status) => Err(status),
    }
}

/// The pod tells why it goes before it does (upstream's `addConditionAndDeletePod`).
struct Mark<'a> {
    target: &'a Target<'a>,
    options: &'a DeleteOptions,
    now: String,
}

impl Change for Mark<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        self.target.check_delete_preconditions(&old.object, self.options)?;
        let mut pod = old.object.clone();
        mark(&mut pod["status"], &self.now);
        Ok(Decoded::untracked(pod))
    }
}

/// The time of the transition stays when the condition was true before.
fn mark(status: &mut Value, now: &str) {
    const TARGET: &str = "DisruptionTarget";
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let mut wanted = json!({"type": TARGET, "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastTransitionTime": now});
    match conditions.iter_mut().find(|condition| condition["type"] == TARGET) {
        Some(condition) => {
            if condition["status"] == "True" {
                wanted["lastTransitionTime"] = condition["lastTransitionTime"].clone();
            }
            *condition = wanted;
        }
        None => conditions.push(wanted),
    }
    status["conditions"] = conditions.into();
}

struct Spend {
    pod: String,
    now: String,
}

impl Change for Spend {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        let budget = &old.object;
        let status = &budget["status"];
        let allowed = status["disruptionsAllowed"].as_i64().unwrap_or_default();
        let observed = status["observedGeneration"].as_i64().unwrap_or_default();
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        if observed < budget.generation() {
            return Err(Status::too_many_requests(message, 10).with_cause(Cause {
                reason: "DisruptionBudget".into(),
                message: format!("The disruption budget {} is still being processed by the server.", budget.name()),
                field: String::new(),
            }));
        }
        if allowed <= 0 {
            let count = |key: &str| status[key].as_i64().unwrap_or_default();
            return Err(Status::too_many_requests(message, 0).with_cause(Cause {
                reason: "DisruptionBudget".into(),
                message: format!(
                    "The disruption budget {} needs {} healthy pods and has {} currently",
                    budget.name(),
                    count("desiredHealthy"),
                    count("currentHealthy")
                ),
                field: String::new(),
            }));
        }
        let mut budget = budget.clone();
        budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
        if !budget["status"]["disruptedPods"].is_object() {
            budget["status"]["disruptedPods"] = json!({});
        }
        budget["status"]["disruptedPods"][&self.pod] = Value::String(self.now.clone());
        Ok(Decoded::untracked(budget))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evicted_pod_tells_why_once() {
        let condition = |time: &str| {
            json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastTransitionTime": time})
        };
        let ready = json!({"type": "Ready", "status": "True"});
        let other = json!({"type": "DisruptionTarget", "status": "False", "lastTransitionTime": "before"});
        let table = [
            (json!({}), json!([condition("now")])),
            (json!({"conditions": [ready]}), json!([ready, condition("now")])),
            (json!({"conditions": [condition("before")]}), json!([condition("before")])),
            (json!({"conditions": [other]}), json!([condition("now")])),
        ];
        for (mut status, expected) in table {
            mark(&mut status, "now");
            assert_eq!(status["conditions"], expected);
        }
    }
}
