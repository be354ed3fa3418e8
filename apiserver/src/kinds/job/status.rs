//! Validation of the status of a Job: it ends once, and its counters do not fall. Only what changes is held to the rules.

use serde_json::Value;

use super::super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, flag, list, number, text};
use super::policies::parse_indexes;

pub fn status(new: &Value, old: &Value, errors: &mut Errors) {
    let status = Cursor::root(new, "status");
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.not_negative(&status.child(name));
    }
    conditions(new, old, &status, errors);
    times(new, old, &status, errors);
    finished(new, old, &status, errors);
    indexes(new, old, &status, errors);
    counters(new, old, &status, errors);
}

fn holds(job: &Value, condition: &str) -> bool {
    let all = list(field(job, "status"), "conditions");
    all.iter().any(|own| text(own, "type") == condition && text(own, "status") == "True")
}

fn is_finished(job: &Value) -> bool {
    holds(job, "Complete") || holds(job, "Failed")
}

fn changed(new: &Value, old: &Value, name: &str) -> bool {
    field(field(new, "status"), name) != field(field(old, "status"), name)
}

fn conditions(new: &Value, old: &Value, status: &Cursor, errors: &mut Errors) {
    let at = status.child("conditions");
    let turned = |name: &str| holds(new, name) != holds(old, name);
    let (complete, failed) = (holds(new, "Complete"), holds(new, "Failed"));
    let (target, met) = (holds(new, "FailureTarget"), holds(new, "SuccessCriteriaMet"));
    let rules = [
        (
            (turned("Complete") || turned("Failed")) && complete && failed,
            "cannot set Complete=True and Failed=true conditions",
        ),
        (
            (turned("Complete") || turned("FailureTarget")) && complete && target,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            turned("Failed") && failed && !target,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            (turned("Complete") || turned("SuccessCriteriaMet")) && complete && !met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
    ];
    for (_, detail) in rules.iter().filter(|(broken, _)| *broken) {
        errors.invalid_hidden(&at, *detail);
    }
    for name in ["Failed", "Complete", "FailureTarget"] {
        if holds(old, name) && !holds(new, name) {
            errors.invalid_hidden(&at, format!("cannot disable the terminal {name}=True condition"));
        }
    }
    if holds(old, "SuccessCriteriaMet") && !met {
        errors.invalid_hidden(&at, "cannot disable the SuccessCriteriaMet=True condition");
    }
}

fn times(new: &Value, old: &Value, status: &Cursor, errors: &mut Errors) {
    let (start, end) = (status.child("startTime"), status.child("completionTime"));
    let complete = holds(new, "Complete");
    let moved = changed(new, old, "completionTime");
    if moved || complete != holds(old, "Complete") {
        if end.is_set() && !complete {
            errors.invalid(&end, "cannot set completionTime when there is no Complete=True condition");
        }
        if !end.is_set() && complete {
            errors.required_because(&end, "completionTime is required for Complete jobs");
        }
    }
    // RFC 3339 in UTC and whole seconds: texts compare as times do.
    let dated = start.is_set() && end.is_set();
    if (moved || changed(new, old, "startTime")) && dated && end.str() < start.str() {
        errors.invalid(&end, "must be equal to or after `startTime`");
    }
    let before = field(old, "status");
    if end.is_set() && !field(before, "completionTime").is_null() && moved {
        errors.invalid(&end, IS_IMMUTABLE);
    }
    let suspended = flag(field(new, "spec"), "suspend") == Some(true);
    let resuming = holds(old, "Suspended") && !holds(new, "Suspended");
    let started = !field(before, "startTime").is_null();
    if started && changed(new, old, "startTime") && !suspended && !resuming {
        errors.required_because(&start, "startTime cannot be removed for unsuspended job");
    }
}

fn finished(new: &Value, old: &Value, status: &Cursor, errors: &mut Errors) {
    if !is_finished(new) {
        return;
    }
    let ends = !is_finished(old);
    let (active, start) = (status.child("active"), status.child("startTime"));
    if (ends || changed(new, old, "active")) && active.int().is_some_and(|pods| pods > 0) {
        errors.invalid(&active, "active>0 is invalid for finished job");
    }
    let spec = field(new, "spec");
    let nothing_to_do = flag(spec, "suspend") == Some(true) && number(spec, "completions") == Some(0);
    if (ends || changed(new, old, "startTime")) && !start.is_set() && !nothing_to_do {
        errors.required_because(&start, "startTime is required for finished job");
    }
    let uncounted = status.child("uncountedTerminatedPods");
    let some = ["failed", "succeeded"].iter().any(|name| !list(uncounted.value, name).is_empty());
    if (ends || changed(new, old, "uncountedTerminatedPods")) && some {
        errors.invalid(&uncounted, "must be empty for finished job");
    }
    let terminating = status.child("terminating");
    if (ends || changed(new, old, "terminating")) && terminating.int().is_some_and(|pods| pods > 0) {
        errors.invalid(&terminating, "terminating>0 is invalid for finished job");
    }
}

fn indexes(new: &Value, old: &Value, status: &Cursor, errors: &mut Errors) {
    let spec = field(new, "spec");
    let completions = number(spec, "completions");
    let (done, failed) = (status.child("completedIndexes"), status.child("failedIndexes"));
    let mut check = |at: &Cursor, name: &str| {
        if let Some(Err(reason)) = completions.map(|count| parse_indexes(at.str(), count)) {
            errors.invalid(at, format!("error parsing {name}: {reason}"));
        }
    };
    if changed(new, old, "completedIndexes") {
        check(&done, "completedIndexes");
    }
    let per_index = !field(spec, "backoffLimitPerIndex").is_null();
    let failed_changed = changed(new, old, "failedIndexes");
    if failed_changed && per_index {
        check(&failed, "failedIndexes");
    }
    if changed(new, old, "completedIndexes") && !done.str().is_empty() && text(spec, "completionMode") != "Indexed" {
        errors.invalid(&done, "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && failed.is_set() && !per_index {
        errors.invalid(&failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
}

fn counters(new: &Value, old: &Value, status: &Cursor, errors: &mut Errors) {
    let (before, spec) = (field(old, "status"), field(new, "spec"));
    let fell = |name: &str| number(status.value, name).unwrap_or_default() < number(before, name).unwrap_or_default();
    // An indexed Job that runs all at once may be scaled down.
    let scalable =
        text(spec, "completionMode") == "Indexed" && number(spec, "completions") == number(spec, "parallelism");
    for name in ["failed", "succeeded"] {
        if fell(name) && !(name == "succeeded" && scalable) {
            let at = status.child(name);
            errors.invalid_as(&at, at.int().unwrap_or_default(), format!("cannot decrease the {name} counter"));
        }
    }
    let ready = status.child("ready");
    let active = number(status.value, "active").unwrap_or_default();
    if (changed(new, old, "ready") || changed(new, old, "active")) && ready.int().is_some_and(|pods| pods > active) {
        errors.invalid(&ready, "cannot set more ready pods than active");
    }
}
