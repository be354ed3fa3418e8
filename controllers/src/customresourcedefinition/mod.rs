//! CustomResourceDefinitions: [`names`] tells which names a definition has and when its kind is served, `cleanup` removes the
//! objects of a kind that goes. Upstream: `naming_controller`, `establishing_controller` and `crd_finalizer` of
//! apiextensions-apiserver.

mod cleanup;
pub mod names;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionCondition as Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use cleanup::start;

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// Puts a condition in the place of the one of its type. The time of transition is that of the last change of the status.
fn set(conditions: &mut Vec<Condition>, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let mut condition = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(now)),
        ..Condition::default()
    };
    match conditions.iter_mut().find(|other| other.type_ == kind) {
        Some(other) => {
            if other.status == status {
                condition.last_transition_time = other.last_transition_time.clone();
            }
            *other = condition;
        }
        None => conditions.push(condition),
    }
}
