//! Validation of a JobSpec.

use api::names;

use super::super::cursor::{Cursor, Errors};
use super::super::pod_template::spec::template;
use super::policies;

const MAX_INDEXED_PARALLELISM: i64 = 100_000;
const MAX_FAILED_INDEXES: i64 = 100_000;
/// From here on the number of completions limits others.
const MANY_COMPLETIONS: i64 = 100_000;
const MAX_WITH_MANY: i64 = 10_000;
const MAX_MANAGED_BY: usize = 63;
const INDEXED_ONLY: &str = "requires indexed completion mode";

pub fn spec(at: &Cursor, errors: &mut Errors) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for name in counts {
        errors.not_negative(&at.child(name));
    }
    if at.has("maxFailedIndexes") && !at.has("backoffLimitPerIndex") {
        errors.required_because(&at.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    managed_by(&at.child("managedBy"), errors);
    let mode = at.child("completionMode");
    errors.one_of_if_set(&mode, &["NonIndexed", "Indexed"]);
    if mode.str() == "Indexed" {
        indexed(at, errors);
    } else if matches!(mode.str(), "" | "NonIndexed") {
        for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if at.has(name) {
                errors.invalid(&at.child(name), INDEXED_ONLY);
            }
        }
    }
    policies::failure(at, errors);
    let success = at.child("successPolicy");
    if success.is_set() {
        if mode.str() == "Indexed" {
            policies::success(at, &success, errors);
        } else {
            errors.invalid(&success, INDEXED_ONLY);
        }
    }
    policies::replacement(at, errors);
    template(&at.child("template"), errors);
    restart_policy(at, errors);
}

fn managed_by(at: &Cursor, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    match at.str().split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty()) {
        None if at.is_empty() => errors.required(at),
        None => errors.invalid(at, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
        Some((domain, _)) => {
            for message in names::dns1123_subdomain(domain) {
                errors.invalid_as(at, domain, message);
            }
        }
    }
    if at.len() > MAX_MANAGED_BY {
        errors.too_long(at, MAX_MANAGED_BY);
    }
}

fn indexed(at: &Cursor, errors: &mut Errors) {
    let (completions, parallelism, failed) =
        (at.child("completions"), at.child("parallelism"), at.child("maxFailedIndexes"));
    let at_most = |at: &Cursor, max: i64, detail: String, errors: &mut Errors| {
        if at.int().is_some_and(|number| number > max) {
            errors.invalid(at, detail);
        }
    };
    let Some(count) = completions.int() else {
        errors.required_because(&completions, "when completion mode is Indexed");
        return;
    };
    let detail = format!("must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed");
    at_most(&parallelism, MAX_INDEXED_PARALLELISM, detail, errors);
    at_most(&failed, count, "must be less than or equal to completions".to_owned(), errors);
    at_most(&failed, MAX_FAILED_INDEXES, format!("must be less than or equal to {MAX_FAILED_INDEXES}"), errors);
    if count > MANY_COMPLETIONS && at.has("backoffLimitPerIndex") {
        if !failed.is_set() {
            let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            errors.required_because(&failed, detail);
        }
        for at in [&parallelism, &failed] {
            let detail = format!(
                "must be less than or equal to {MAX_WITH_MANY} when completions are above {MANY_COMPLETIONS} and used with \
                 backoff limit per index"
            );
            at_most(at, MAX_WITH_MANY, detail, errors);
        }
    }
}

/// A Job's pods end.
fn restart_policy(at: &Cursor, errors: &mut Errors) {
    let template = at.child("template");
    let pod = template.child("spec");
    let policy = pod.child("restartPolicy");
    match policy.str() {
        "" | "Always" => errors.required_because(&policy, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if at.has("podFailurePolicy") => {
            errors.invalid(&policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => errors.not_supported(&policy, &["OnFailure", "Never"]),
    }
}
