//! Validation of a Job's failure, success and replacement policies.

use std::collections::BTreeSet;

use api::field::{ErrorKind, FieldError};

use super::super::cursor::{Cursor, Errors};
use super::super::selectors::label_name;
use super::container_names;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const MAX_RULES: usize = 20;
const MAX_VALUES: usize = 255;
const MAX_PATTERNS: usize = 20;

fn too_many(at: &Cursor, max: usize, errors: &mut Errors) {
    if at.len() > max {
        let detail = format!("must have at most {max} items");
        errors.push(FieldError { kind: ErrorKind::TooMany, path: at.path(), value: at.len().into(), detail });
    }
}

/// One of `valid`; missing ones are told what there is.
fn choice(at: &Cursor, valid: &[&str], errors: &mut Errors) {
    if at.str().is_empty() {
        errors.required_because(at, format!("valid values: {}", quoted(valid)));
    } else if !valid.contains(&at.str()) {
        errors.not_supported(at, valid);
    }
}

/// As Go prints a slice of texts with `%q`.
fn quoted(texts: &[&str]) -> String {
    let all: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", all.join(" "))
}

pub fn failure(spec: &Cursor, errors: &mut Errors) {
    let policy = spec.child("podFailurePolicy");
    let rules = policy.child("rules");
    too_many(&rules, MAX_RULES, errors);
    let names = container_names(spec.value);
    for rule in rules.items() {
        let action = rule.child("action");
        if action.str() == "FailIndex" {
            if !spec.has("backoffLimitPerIndex") {
                errors.invalid(&action, "requires the backoffLimitPerIndex to be set");
            }
        } else {
            choice(&action, &ACTIONS, errors);
        }
        let (codes, conditions) = (rule.child("onExitCodes"), rule.child("onPodConditions"));
        if codes.is_set() {
            exit_codes(&codes, &names, errors);
        }
        too_many(&conditions, MAX_PATTERNS, errors);
        for pattern in conditions.items() {
            label_name(&pattern.child("type"), errors);
            choice(&pattern.child("status"), &["False", "True", "Unknown"], errors);
        }
        match (codes.is_set(), !conditions.is_empty()) {
            (true, true) => {
                let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
                errors.invalid_hidden(&rule, detail);
            }
            (false, false) => {
                errors.invalid_hidden(&rule, "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn exit_codes(at: &Cursor, containers: &[&str], errors: &mut Errors) {
    let (operator, container, values) = (at.child("operator"), at.child("containerName"), at.child("values"));
    choice(&operator, &["In", "NotIn"], errors);
    if container.is_set() && !containers.contains(&container.str()) {
        errors.invalid(&container, "must be one of the container or initContainer names in the pod template");
    }
    if values.is_empty() {
        errors.invalid(&values, "at least one value is required");
    }
    too_many(&values, MAX_VALUES, errors);
    let mut seen = BTreeSet::new();
    for value in values.items() {
        let code = value.int().unwrap_or_default();
        if code == 0 && operator.str() == "In" {
            errors.invalid(&value, "must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            errors.duplicate(&value);
        }
    }
    let codes: Vec<i64> = values.items().filter_map(|value| value.int()).collect();
    if !codes.is_sorted() {
        errors.invalid(&values, "must be ordered");
    }
}

pub fn success(spec: &Cursor, at: &Cursor, errors: &mut Errors) {
    let rules = at.child("rules");
    if rules.is_empty() {
        errors.required_because(&rules, "at least one rules must be specified when the successPolicy is specified");
    }
    too_many(&rules, MAX_RULES, errors);
    let completions = spec.number("completions").unwrap_or_default();
    for rule in rules.items() {
        let (count, indexes) = (rule.child("succeededCount"), rule.child("succeededIndexes"));
        if !count.is_set() && !indexes.is_set() {
            errors.required_because(&rule, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let total = match parse_indexes(indexes.str(), completions) {
            Ok(total) => total,
            Err(reason) => {
                errors.invalid(&indexes, format!("error parsing succeededIndexes: {reason}"));
                0
            }
        };
        errors.not_negative(&count);
        let asked = count.int().unwrap_or_default();
        if asked > completions {
            let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.invalid(&count, detail);
        }
        if indexes.is_set() && asked > total {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.invalid(&count, detail);
        }
    }
}

/// How many indexes a text like `0-2,4` names: intervals that rise, below `completions`.
pub fn parse_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last = -1;
    for text in text.split(',').filter(|_| !text.is_empty()) {
        let (low, high) = interval(text, completions)?;
        if low <= last {
            return Err(format!("non-increasing order, previous: {last}, current: {low}"));
        }
        total += high - low + 1;
        last = high;
    }
    Ok(total)
}

/// The first and the last index that a text like `4` or `0-2` names.
pub fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    if text.matches('-').count() > 1 {
        return Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts separated by \
             '-'"
        ));
    }
    let (first, end) = text.split_once('-').unwrap_or((text, text));
    let index = |part: &str| {
        let number: i64 = part.parse().map_err(|_| format!("cannot convert string to integer for index: {part:?}"))?;
        match number >= completions {
            true => Err(format!("too large index: {part:?}")),
            false => Ok(number),
        }
    };
    let (low, high) = (index(first)?, index(end)?);
    if low > high || (low == high && text.contains('-')) {
        return Err(format!("non-increasing order, previous: {low}, current: {high}"));
    }
    Ok((low, high))
}

pub fn replacement(spec: &Cursor, errors: &mut Errors) {
    let policy = spec.child("podReplacementPolicy");
    if spec.has("podFailurePolicy") {
        errors.one_of_if_set(&policy, &["Failed"]);
    } else {
        errors.one_of_if_set(&policy, &["Failed", "TerminatingOrFailed"]);
    }
}
