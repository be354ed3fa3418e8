//! Validation of the status of a Job: it ends once, and its counters do not fall. Only what changes is held to the rules.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, flag, list, number, text};
use super::policies::{interval, parse_indexes};

pub fn status(new: &Value, old: &Value, errors: &mut Errors) {
    let change = Change { new, old, status: Cursor::root(new, "status") };
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.not_negative(&change.status.child(name));
    }
    change.uncounted(errors);
    change.ends_once(errors);
    change.finished(errors);
    change.indexes(errors);
    change.running(errors);
    change.success(errors);
    change.goes_on(errors);
}

fn holds(job: &Value, condition: &str) -> bool {
    let all = list(field(job, "status"), "conditions");
    all.iter().any(|own| text(own, "type") == condition && text(own, "status") == "True")
}

fn is_finished(job: &Value) -> bool {
    holds(job, "Complete") || holds(job, "Failed")
}

/// A write to the status. The rules are upstream's in its order: clients read the first message.
struct Change<'v> {
    new: &'v Value,
    old: &'v Value,
    status: Cursor<'v, 'v>,
}

impl Change<'_> {
    fn changed(&self, name: &str) -> bool {
        field(self.status.value, name) != field(field(self.old, "status"), name)
    }

    fn turned(&self, condition: &str) -> bool {
        holds(self.new, condition) != holds(self.old, condition)
    }

    fn refuse(&self, broken: bool, detail: &str, errors: &mut Errors) {
        if broken {
            errors.invalid_hidden(&self.status.child("conditions"), detail);
        }
    }

    fn uncounted(&self, errors: &mut Errors) {
        let uncounted = self.status.child("uncountedTerminatedPods");
        let (succeeded, failed) = (uncounted.child("succeeded"), uncounted.child("failed"));
        let mut seen = BTreeSet::new();
        for uid in succeeded.items().chain(failed.items()) {
            if uid.str().is_empty() {
                errors.invalid_text(&uid, "must not be empty");
            } else if !seen.insert(uid.str()) {
                errors.duplicate(&uid);
            }
        }
    }

    /// What `Complete` and `Failed` want beside them.
    fn ends_once(&self, errors: &mut Errors) {
        let (new, turned) = (self.new, |name: &str| self.turned(name));
        let (complete, failed) = (holds(new, "Complete"), holds(new, "Failed"));
        let both = (turned("Complete") || turned("Failed")) && complete && failed;
        self.refuse(both, "cannot set Complete=True and Failed=true conditions", errors);
        let targets = holds(new, "FailureTarget");
        let both = (turned("Complete") || turned("FailureTarget")) && complete && targets;
        self.refuse(both, "cannot set Complete=True and FailureTarget=true conditions", errors);
        let (start, end) = (self.status.child("startTime"), self.status.child("completionTime"));
        let moved = self.changed("completionTime");
        if (moved || turned("Complete")) && end.is_set() && !complete {
            errors.invalid(&end, "cannot set completionTime when there is no Complete=True condition");
        }
        if (moved || turned("Complete")) && !end.is_set() && complete {
            errors.required_because(&end, "completionTime is required for Complete jobs");
        }
        // RFC 3339 in UTC and whole seconds: texts compare as times do.
        let dated = start.is_set() && end.is_set();
        if (moved || self.changed("startTime")) && dated && end.str() < start.str() {
            errors.invalid(&end, "must be equal to or after `startTime`");
        }
        let alone = (turned("Failed") || self.changed("failedIndexes")) && failed && !targets;
        self.refuse(alone, "cannot set Failed=True condition without the FailureTarget=true condition", errors);
        let met = holds(new, "SuccessCriteriaMet");
        let alone = (turned("Complete") || turned("SuccessCriteriaMet")) && complete && !met;
        self.refuse(alone, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition", errors);
    }

    fn finished(&self, errors: &mut Errors) {
        if !is_finished(self.new) {
            return;
        }
        let ends = !is_finished(self.old);
        let (active, start) = (self.status.child("active"), self.status.child("startTime"));
        if (ends || self.changed("active")) && active.int().is_some_and(|pods| pods > 0) {
            errors.invalid(&active, "active>0 is invalid for finished job");
        }
        let spec = field(self.new, "spec");
        let nothing_to_do = flag(spec, "suspend") == Some(true) && number(spec, "completions") == Some(0);
        if (ends || self.changed("startTime")) && !start.is_set() && !nothing_to_do {
            errors.required_because(&start, "startTime is required for finished job");
        }
        let uncounted = self.status.child("uncountedTerminatedPods");
        let some = ["failed", "succeeded"].iter().any(|name| !list(uncounted.value, name).is_empty());
        if (ends || self.changed("uncountedTerminatedPods")) && some {
            errors.invalid(&uncounted, "must be empty for finished job");
        }
    }

    fn indexes(&self, errors: &mut Errors) {
        let spec = field(self.new, "spec");
        let completions = number(spec, "completions");
        let (done, failed) = (self.status.child("completedIndexes"), self.status.child("failedIndexes"));
        let mut check = |at: &Cursor, name: &str| {
            if let Some(Err(reason)) = completions.map(|count| parse_indexes(at.str(), count)) {
                errors.invalid_text(at, format!("error parsing {name}: {reason}"));
            }
        };
        let (done_changed, failed_changed) = (self.changed("completedIndexes"), self.changed("failedIndexes"));
        if done_changed {
            check(&done, "completedIndexes");
        }
        let per_index = !field(spec, "backoffLimitPerIndex").is_null();
        if failed_changed && per_index {
            check(&failed, "failedIndexes");
        }
        if done_changed && !done.str().is_empty() && text(spec, "completionMode") != "Indexed" {
            errors.invalid(&done, "cannot set non-empty completedIndexes when non-indexed completion mode");
        }
        if failed_changed && failed.is_set() && !per_index {
            errors.invalid(&failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
        }
        let overlap = completions.and_then(|count| overlap(done.str(), failed.str(), count));
        if let Some(index) = overlap.filter(|_| done_changed || failed_changed) {
            errors.invalid(&failed, format!("failedIndexes and completedIndexes overlap at index: {index}"));
        }
    }

    fn running(&self, errors: &mut Errors) {
        let (terminating, ready) = (self.status.child("terminating"), self.status.child("ready"));
        let ends = is_finished(self.new) && !is_finished(self.old);
        let counts = is_finished(self.new) && (ends || self.changed("terminating"));
        if counts && terminating.int().is_some_and(|pods| pods > 0) {
            errors.invalid(&terminating, "terminating>0 is invalid for finished job");
        }
        let active = self.status.number("active").unwrap_or_default();
        if (self.changed("ready") || self.changed("active")) && ready.int().is_some_and(|pods| pods > active) {
            errors.invalid(&ready, "cannot set more ready pods than active");
        }
    }

    fn success(&self, errors: &mut Errors) {
        let new = self.new;
        let met = holds(new, "SuccessCriteriaMet");
        let both = met && holds(new, "Failed");
        self.refuse(both, "cannot set SuccessCriteriaMet=True and Failed=true conditions", errors);
        let both = met && holds(new, "FailureTarget");
        self.refuse(both, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions", errors);
        let has_policy = !field(field(new, "spec"), "successPolicy").is_null();
        let early = has_policy && !met && holds(new, "Complete");
        let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        self.refuse(early, detail, errors);
    }

    /// What an update may not take back.
    fn goes_on(&self, errors: &mut Errors) {
        let (new, old) = (self.new, self.old);
        for name in ["Failed", "Complete", "FailureTarget"] {
            let lost = holds(old, name) && !holds(new, name);
            self.refuse(lost, &format!("cannot disable the terminal {name}=True condition"), errors);
        }
        let (before, spec) = (field(old, "status"), field(new, "spec"));
        let count = |status: &Value, name: &str| number(status, name).unwrap_or_default();
        // An indexed Job that runs all at once may be scaled down.
        let scalable =
            text(spec, "completionMode") == "Indexed" && number(spec, "completions") == number(spec, "parallelism");
        for name in ["failed", "succeeded"] {
            let now = count(self.status.value, name);
            if now < count(before, name) && !(name == "succeeded" && scalable) {
                errors.invalid_as(&self.status.child(name), now, format!("cannot decrease the {name} counter"));
            }
        }
        let (start, end) = (self.status.child("startTime"), self.status.child("completionTime"));
        if end.is_set() && !field(before, "completionTime").is_null() && self.changed("completionTime") {
            errors.invalid(&end, IS_IMMUTABLE);
        }
        let suspended = flag(spec, "suspend") == Some(true);
        let resuming = holds(old, "Suspended") && is_false(new, "Suspended");
        let started = !field(before, "startTime").is_null();
        if started && self.changed("startTime") && !suspended && !resuming {
            errors.required_because(&start, "startTime cannot be removed for unsuspended job");
        }
        let met = holds(new, "SuccessCriteriaMet");
        let met_before = holds(old, "SuccessCriteriaMet");
        self.refuse(met_before && !met, "cannot disable the SuccessCriteriaMet=True condition", errors);
        let late = holds(old, "Complete") && !met_before && met;
        self.refuse(late, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions", errors);
    }
}

fn is_false(job: &Value, condition: &str) -> bool {
    let all = list(field(job, "status"), "conditions");
    all.iter().any(|own| text(own, "type") == condition && text(own, "status") == "False")
}

/// The first index that both texts name; what cannot be read is passed over.
fn overlap(done: &str, failed: &str, completions: i64) -> Option<i64> {
    let read =
        |text: &str| -> Vec<(i64, i64)> { text.split(',').filter_map(|one| interval(one, completions).ok()).collect() };
    let (done, failed) = (read(done), read(failed));
    let (mut done, mut failed) = (done.iter().peekable(), failed.iter().peekable());
    while let (Some((done_low, done_high)), Some((failed_low, failed_high))) = (done.peek(), failed.peek()) {
        if done_low <= failed_high && failed_low <= done_high {
            return Some(*done_low.max(failed_low));
        }
        if done_low <= failed_low {
            done.next();
        } else {
            failed.next();
        }
    }
    None
}
