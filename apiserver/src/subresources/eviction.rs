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

/// As upstream's EvictionsRetry.
const TRIES: u32 = 20;

pub(crate) async fn evict(call: &Call, body: Body) -> Result<Reply, Status> {
    let write = WriteOptions::parse(&call.query, "CreateOptions")?;
    let bytes = call.bytes(body).await?;
    let kind = GroupVersionKind::new("policy", "v1", "Eviction");
    let decoded = decode::object(&bytes, decode::content_type(&call.headers), &kind, write.field_validation)?;
    call.warnings.extend(decoded.warnings);
    let mut eviction = decoded.object;
    call.target(write.dry_run).mutate_below(&call.info.name, &mut eviction).await?;
    if eviction.name() != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let asked = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    let mut options = DeleteOptions::parse(&call.query, Some(&asked))?;
    options.dry_run |= write.dry_run;
    call.target(options.dry_run).admit_below(&call.info.name, &eviction).await?;
    let mut tries = 1;
    while let Err(refused) = attempt(call, &options).await {
        match refused {
            Refused::Changed(_) if tries < TRIES => tries += 1,
            Refused::Changed(status) | Refused::Finally(status) => return Err(status),
        }
    }
    let value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Reply::Value { code: StatusCode::CREATED, value })
}

/// Why an attempt came to nothing.
enum Refused {
    /// The pod is not what it was when it was looked at: another look may find that a budget guards it.
    Changed(Status),
    Finally(Status),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Finally(status)
    }
}

async fn attempt(call: &Call, options: &DeleteOptions) -> Result<(), Refused> {
    let pod = call.core.must_read(&call.row, call.namespace(), &call.info.name).await?.object;
    let leave = match ignores_budgets(&pod) {
        true => Leave::Needless,
        false => leave(call, &pod, options.dry_run).await?,
    };
    let mut options = options.clone();
    // The pod that the budget was asked for, and no other of its name.
    options.uid.get_or_insert_with(|| pod.uid().to_owned());
    // What goes because it is unhealthy must not have become healthy.
    let ended = matches!(phase(&pod), "Succeeded" | "Failed") || pod.deletion_timestamp().is_some();
    let pinned = options.resource_version.is_none() && !ended && !matches!(leave, Leave::Given);
    if pinned {
        options.resource_version = Some(pod.resource_version().to_owned());
    }
    match (delete(call, options).await, leave) {
        (Err(status), Leave::Unhealthy(budget)) if pinned && status.reason == Reason::Conflict => {
            Err(busy(&budget).into())
        }
        (Err(status), _) if pinned && status.reason == Reason::Conflict => Err(Refused::Changed(status)),
        (deleted, _) => Ok(deleted?),
    }
}

async fn delete(call: &Call, mut options: DeleteOptions) -> Result<(), Status> {
    let target = Target { subresource: "status", query: None, ..call.target(options.dry_run) };
    if !options.dry_run {
        let mark = Mark { target: &target, options: &options, now: time(call.core.now()) };
        let marked = target.update(&call.info.name, &mark).await?;
        if options.resource_version.is_some() {
            let marked: Object = serde_json::from_slice(&marked.json).map_err(Status::internal)?;
            options.resource_version = Some(marked.resource_version().to_owned());
        }
    }
    let target = Target { subresource: "", ..target };
    target.delete(&call.info.name, &options).await.map(drop)
}

fn phase(pod: &Object) -> &str {
    pod["status"]["phase"].as_str().unwrap_or_default()
}

/// Its end disrupts nobody.
fn ignores_budgets(pod: &Object) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed" | "Pending") || pod.deletion_timestamp().is_some()
}

fn is_ready(pod: &Object) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// By what a pod may go.
#[derive(Debug, PartialEq, Eq)]
enum Leave {
    /// It disrupts nobody.
    Needless,
    /// Its budget, by name, does not guard a pod that is not Ready.
    Unhealthy(String),
    /// No budget guards it, or one allowed disruption was taken from its budget.
    Given,
}

async fn leave(call: &Call, pod: &Object, dry_run: bool) -> Result<Leave, Status> {
    let budgets = call.core.list("policy", "poddisruptionbudgets", call.namespace()).await?;
    let covers = |budget: &Object| {
        let selector = LabelSelector::from_object(budget["spec"].get("selector"));
        selector.is_ok_and(|selector| selector.matches_object(pod))
    };
    let budgets: Vec<Object> = budgets.into_iter().filter(covers).collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(Leave::Given),
        [one] => one,
        _ => {
            let why =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::plain(why));
        }
    };
    if !is_ready(pod) && spares_only_healthy(budget) {
        return Ok(Leave::Unhealthy(budget.name().to_owned()));
    }
    let row = call.core.registry.find("policy", "poddisruptionbudgets");
    let row = row.ok_or_else(|| Status::internal("a served resource has no row"))?;
    let target = Target { row, subresource: "status", query: None, ..call.target(dry_run) };
    let change = Spend { pod: pod.name().to_owned(), now: time(call.core.now()) };
    match target.update(budget.name(), &change).await {
        Ok(_) => Ok(Leave::Given),
        // The budget went in the meantime.
        Err(status) if status.reason == Reason::NotFound => Ok(Leave::Given),
        Err(status) => Err(status),
    }
}

/// Whether a pod that is not Ready may go whatever is allowed (`spec.unhealthyPodEvictionPolicy`): always, or while the
/// others are as many as they should be.
fn spares_only_healthy(budget: &Object) -> bool {
    let count = |key: &str| budget["status"][key].as_i64().unwrap_or_default();
    let (healthy, desired) = (count("currentHealthy"), count("desiredHealthy"));
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || healthy >= desired && desired > 0
}

const VIOLATION: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

fn cause(message: String) -> Cause {
    Cause { reason: "DisruptionBudget".into(), message, field: String::new() }
}

/// What the budget says is not of this moment.
fn busy(budget: &str) -> Status {
    let message = format!("The disruption budget {budget} is still being processed by the server.");
    Status::too_many_requests(VIOLATION, 10).with_cause(cause(message))
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
        if observed < budget.generation() {
            return Err(busy(budget.name()));
        }
        if allowed <= 0 {
            return Err(Status::too_many_requests(VIOLATION, 0).with_cause(cause(why_nothing_is_allowed(budget))));
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

fn why_nothing_is_allowed(budget: &Object) -> String {
    let (name, status) = (budget.name(), &budget["status"]);
    let count = |key: &str| status[key].as_i64().unwrap_or_default();
    let (healthy, desired) = (count("currentHealthy"), count("desiredHealthy"));
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let told = conditions.into_iter().find(|one| one["type"] == "DisruptionAllowed" && one["status"] == "False");
    let text = |key: &str| told.and_then(|one| one[key].as_str()).unwrap_or_default();
    match (text("reason"), text("message")) {
        // The counts are not to be trusted then.
        ("SyncFailed", message) if !message.is_empty() => {
            format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
            )
        }
        _ if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        (_, "") => format!("The disruption budget {name} does not allow evicting pods currently"),
        (reason, message) => {
            format!("The disruption budget {name} does not allow evicting pods currently ({reason}): {message}")
        }
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

    #[test]
    fn unhealthy_pods_are_spared_by_policy_and_health() {
        let budget = |policy: Value, healthy: i64, desired: i64| {
            json!({"metadata": {"name": "b"}, "spec": {"unhealthyPodEvictionPolicy": policy},
                "status": {"currentHealthy": healthy, "desiredHealthy": desired}})
        };
        let table = [
            ("always", budget(json!("AlwaysAllow"), 0, 2), true),
            ("the application is well", budget(json!("IfHealthyBudget"), 2, 2), true),
            ("the application is not", budget(json!("IfHealthyBudget"), 1, 2), false),
            ("by default", budget(Value::Null, 2, 2), true),
            ("by default, and it is not", budget(Value::Null, 1, 2), false),
            ("nothing is known", budget(Value::Null, 0, 0), false),
        ];
        for (name, budget, expected) in table {
            assert_eq!(spares_only_healthy(&budget), expected, "{name}");
        }
    }

    #[test]
    fn a_budget_tells_why_it_allows_nothing() {
        let because = |healthy: i64, desired: i64, reason: &str, message: &str| {
            why_nothing_is_allowed(&json!({"metadata": {"name": "b"}, "status": {
                "currentHealthy": healthy, "desiredHealthy": desired, "conditions": [
                    {"type": "DisruptionAllowed", "status": "False", "reason": reason, "message": message}]}}))
        };
        let table = [
            (because(1, 2, "InsufficientPods", ""), "needs 2 healthy pods and has 1 currently"),
            (because(1, 2, "SyncFailed", "x"), "does not allow evicting pods currently because it failed sync: x"),
            (because(3, 2, "Other", "x"), "does not allow evicting pods currently (Other): x"),
            (because(3, 2, "Other", ""), "does not allow evicting pods currently"),
        ];
        for (found, expected) in table {
            assert_eq!(found, format!("The disruption budget b {expected}"));
        }
    }
}
