//! FlowSchema and PriorityLevelConfiguration.

use api::Object;
use api::field::FieldError;

use super::cursor::{Cursor, Errors};
use super::edit::{default_number, default_to, get_mut};
use crate::strategy::Strategy;

const MAX_PRECEDENCE: i64 = 10_000;

#[derive(Debug)]
pub struct FlowSchema;

#[derive(Debug)]
pub struct PriorityLevel;

impl Strategy for FlowSchema {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = get_mut(new, "spec") {
            default_number(spec, "matchingPrecedence", 1000);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let precedence = spec.child("matchingPrecedence");
        let value = precedence.int().unwrap_or_default();
        if value <= 0 {
            errors.invalid(&precedence, "must be a positive value");
        } else if value > MAX_PRECEDENCE {
            errors.invalid(&precedence, format!("must not be greater than {MAX_PRECEDENCE}"));
        }
        let level = spec.child("priorityLevelConfiguration");
        let name = level.child("name");
        if name.str().is_empty() {
            errors.required_because(&name, "must reference a priority level");
        }
        errors.into_vec()
    }
}

impl Strategy for PriorityLevel {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = get_mut(new, "spec") else { return };
        if let Some(exempt) = get_mut(spec, "exempt") {
            default_to(exempt, "nominalConcurrencyShares", 0);
            default_to(exempt, "lendablePercent", 0);
        }
        if let Some(limited) = get_mut(spec, "limited") {
            default_to(limited, "nominalConcurrencyShares", 30);
            default_to(limited, "lendablePercent", 0);
            let queuing = get_mut(limited, "limitResponse").and_then(|response| get_mut(response, "queuing"));
            if let Some(queuing) = queuing {
                default_number(queuing, "handSize", 8);
                default_number(queuing, "queues", 64);
                default_number(queuing, "queueLengthLimit", 50);
            }
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (kind, exempt, limited) = (spec.child("type"), spec.child("exempt"), spec.child("limited"));
        match kind.str() {
            "Exempt" if limited.is_set() => {
                errors.forbidden(&limited, "must be nil if the type is not Limited");
            }
            "Limited" if exempt.is_set() => {
                errors.forbidden(&exempt, "must be nil if the type is Limited");
            }
            "Limited" if !limited.is_set() => {
                errors.required_because(&limited, "must not be empty when type is Limited");
            }
            "Limited" => {
                let kind = limited.child("limitResponse").value;
                let response = limited.child("limitResponse");
                let response = response.showing(kind);
                errors.one_of(&response.child("type"), &["Queue", "Reject"]);
            }
            "Exempt" => {}
            _ => errors.not_supported(&kind, &["Exempt", "Limited"]),
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let mut level =
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}});
        PriorityLevel.defaults(&mut level, None);
        let limited = json!({
            "nominalConcurrencyShares": 30, "lendablePercent": 0,
            "limitResponse": {"type": "Queue", "queuing": {"handSize": 8, "queues": 64, "queueLengthLimit": 50}},
        });
        assert_eq!(level["spec"]["limited"], limited);
        assert_eq!(PriorityLevel.validate(&level), []);
        let mut schema = json!({"spec": {}});
        FlowSchema.defaults(&mut schema, None);
        assert_eq!(schema["spec"]["matchingPrecedence"], 1000);
        let errors: Vec<String> = FlowSchema.validate(&schema).iter().map(ToString::to_string).collect();
        assert_eq!(errors, ["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"]);
    }
}
