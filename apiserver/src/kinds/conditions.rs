//! `metav1.Condition`, as every kind has it that was made after it.

use std::collections::BTreeSet;

use super::cursor::{Cursor, Errors, number};
use super::selectors::label_name;

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;

pub fn validate(conditions: &Cursor, errors: &mut Errors) {
    let mut types = BTreeSet::new();
    for condition in conditions.items() {
        let kind = condition.child("type");
        if !types.insert(kind.str()) {
            errors.duplicate_as(&kind, kind.str());
        }
        label_name(&kind, errors);
        let status = condition.child("status");
        if !STATUSES.contains(&status.str()) {
            errors.not_supported(&status, &STATUSES);
        }
        if number(condition.value, "observedGeneration").unwrap_or_default() < 0 {
            errors.invalid(&condition.child("observedGeneration"), "must be greater than or equal to zero");
        }
        if condition.text("lastTransitionTime").is_empty() {
            errors.required(&condition.child("lastTransitionTime"));
        }
        reason(&condition.child("reason"), errors);
        let message = condition.child("message");
        if message.str().len() > MAX_MESSAGE {
            errors.too_long(&message, MAX_MESSAGE);
        }
    }
}

fn reason(reason: &Cursor, errors: &mut Errors) {
    let text = reason.str();
    if text.is_empty() {
        return errors.required(reason);
    }
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':');
    let last = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = |c: char| c.is_ascii_alphabetic();
    if !(text.starts_with(first) && text.ends_with(last) && text.chars().all(inner)) {
        errors.invalid(
            reason,
            "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
             characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or \
             'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
             '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
        );
    }
    if text.len() > MAX_REASON {
        errors.too_long(reason, MAX_REASON);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_checked() {
        let time = "2026-01-02T03:04:05Z";
        let table = [
            (json!([{"type": "A", "status": "True", "reason": "R", "lastTransitionTime": time}]), 0),
            (json!([{"type": "A", "status": "true", "reason": "a b", "lastTransitionTime": time}]), 2),
            (json!([{"type": "A", "status": "True", "observedGeneration": -1}]), 3),
        ];
        for (conditions, expected) in table {
            let object = json!({"conditions": conditions});
            let mut errors = Errors::default();
            validate(&Cursor::root(&object, "conditions"), &mut errors);
            assert_eq!(errors.into_vec().len(), expected, "{object}");
        }
    }
}
