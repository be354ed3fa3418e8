//! Validation of `spec.topologySpreadConstraints`.

use serde_json::Value;

use super::super::cursor::{Cursor, Errors, list, text};
use super::super::selectors::label_selector;
use super::affinity::match_label_keys;

pub fn constraints(spec: &Cursor, errors: &mut Errors) {
    let all = list(spec.value, "topologySpreadConstraints");
    for (index, constraint) in spec.child("topologySpreadConstraints").items().enumerate() {
        self::constraint(&constraint, &all[index + 1..], errors);
    }
}

fn constraint(at: &Cursor, following: &[Value], errors: &mut Errors) {
    let (skew, key, action) = (at.child("maxSkew"), at.child("topologyKey"), at.child("whenUnsatisfiable"));
    positive(&skew, errors);
    if key.str().is_empty() {
        errors.required_because(&key, "can not be empty");
    }
    if !matches!(action.str(), "DoNotSchedule" | "ScheduleAnyway") {
        errors.not_supported(&action, &["DoNotSchedule", "ScheduleAnyway"]);
    }
    let same =
        |other: &Value| text(other, "topologyKey") == key.str() && text(other, "whenUnsatisfiable") == action.str();
    if following.iter().any(same) {
        let pair = format!("{{{}, {}}}", key.str(), action.str());
        errors.duplicate_as(&at.child("{topologyKey, whenUnsatisfiable}"), pair);
    }
    let domains = at.child("minDomains");
    if domains.is_set() {
        positive(&domains, errors);
        if action.str() != "DoNotSchedule" {
            let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action.str());
            errors.invalid(&domains, detail);
        }
    }
    errors.one_of_if_set(&at.child("nodeAffinityPolicy"), &["Honor", "Ignore"]);
    errors.one_of_if_set(&at.child("nodeTaintsPolicy"), &["Honor", "Ignore"]);
    match_label_keys(at, errors);
    label_selector(&at.child("labelSelector"), errors);
}

fn positive(at: &Cursor, errors: &mut Errors) {
    let number = at.int().unwrap_or_default();
    if number <= 0 {
        errors.invalid_as(at, number, "must be greater than zero");
    }
}
