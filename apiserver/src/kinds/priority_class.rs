//! PriorityClass.

use api::Object;
use api::field::FieldError;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, flag, number, text};
use super::edit::default_to;
use crate::strategy::Strategy;

const MAX_USER_PRIORITY: i64 = 1_000_000_000;
const SYSTEM: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

#[derive(Debug)]
pub struct PriorityClass;

impl Strategy for PriorityClass {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        default_to(new, "preemptionPolicy", "PreemptLowerPriority");
    }

    /// Upstream sets it once.
    fn bumps_generation(&self, _new: &Object, _old: &Object) -> bool {
        false
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let metadata = Cursor::root(new, "metadata");
        let name = metadata.child("name");
        if name.str().starts_with("system-") {
            if let Some(reason) = not_a_system_class(new) {
                let detail = format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: {reason}"
                );
                errors.forbidden(&name, detail);
            }
        } else if number(new, "value").unwrap_or_default() > MAX_USER_PRIORITY {
            let detail = format!("maximum allowed value of a user defined priority is {MAX_USER_PRIORITY}");
            errors.forbidden(&Cursor::root(new, "value"), detail);
        }
        let policy = Cursor::root(new, "preemptionPolicy");
        if policy.is_set() {
            errors.one_of(&policy, &["PreemptLowerPriority", "Never"]);
        }
        errors.into_vec()
    }

    /// What does not change needs no rules.
    fn validate_again(&self, _new: &Object, _old: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        if number(new, "value") != number(old, "value") {
            errors.forbidden(&Cursor::root(new, "value"), "may not be changed in an update.");
        }
        if text(new, "preemptionPolicy") != text(old, "preemptionPolicy") {
            errors.invalid(&Cursor::root(new, "preemptionPolicy"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

fn not_a_system_class(class: &Object) -> Option<String> {
    let name = text(field(class, "metadata"), "name");
    let Some((_, value)) = SYSTEM.iter().find(|(system, _)| *system == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if number(class, "value") != Some(*value) {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    if flag(class, "globalDefault") == Some(true) {
        return Some(format!("globalDefault of {name} PriorityClass must be false"));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn priorities_are_checked() {
        let reserved = "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. \
                        error: ";
        let table = [
            ("valid", json!({"metadata": {"name": "high"}, "value": 1000}), String::new()),
            (
                "too high",
                json!({"metadata": {"name": "high"}, "value": 1_000_000_001}),
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000".to_owned(),
            ),
            ("system", json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}), String::new()),
            (
                "other value",
                json!({"metadata": {"name": "system-node-critical"}, "value": 1}),
                format!("{reserved}value of system-node-critical PriorityClass must be 2000001000"),
            ),
            (
                "unknown",
                json!({"metadata": {"name": "system-a"}, "value": 1}),
                format!("{reserved}system-a is not a known system priority class"),
            ),
        ];
        for (name, mut class, expected) in table {
            PriorityClass.defaults(&mut class, None);
            assert_eq!(class["preemptionPolicy"], "PreemptLowerPriority");
            let errors: Vec<String> = PriorityClass.validate(&class).iter().map(ToString::to_string).collect();
            assert_eq!(errors.join("\n"), expected, "{name}");
        }
        let errors =
            PriorityClass.validate_update(&json!({"value": 1}), &json!({"value": 2, "preemptionPolicy": Value::Null}));
        assert_eq!(errors[0].to_string(), "value: Forbidden: may not be changed in an update.");
    }
}
