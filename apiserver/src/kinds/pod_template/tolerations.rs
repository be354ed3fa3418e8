//! Validation of tolerations and taint effects.

use api::names;

use super::super::cursor::{Cursor, Errors};
use super::super::selectors::label_name;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub fn tolerations(at: &Cursor, errors: &mut Errors) {
    for toleration in at.items() {
        let (key, operator, effect) =
            (toleration.child("key"), toleration.child("operator"), toleration.child("effect"));
        if !key.str().is_empty() {
            label_name(&key, errors);
        } else if operator.str() != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid_text(&operator, detail);
        }
        if toleration.has("tolerationSeconds") && effect.str() != "NoExecute" {
            errors.invalid_text(&effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        let value = toleration.text("value");
        match operator.str() {
            "Equal" | "" => {
                let messages = names::label_value(value);
                if !messages.is_empty() {
                    errors.invalid_as(&operator, value, messages.join(";"));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    errors.invalid_as(&operator, value, "value must be empty when `operator` is 'Exists'");
                }
            }
            "Lt" | "Gt" => errors.not_supported(&operator, &["Equal", "Exists", "Lt", "Gt"]),
            _ => errors.not_supported(&operator, &["Equal", "Exists"]),
        }
        if !effect.str().is_empty() {
            errors.one_of(&effect, &EFFECTS);
        }
    }
}

/// The effect of a taint: it has to have one.
pub fn taint_effect(at: &Cursor, errors: &mut Errors) {
    errors.one_of(at, &EFFECTS);
}
