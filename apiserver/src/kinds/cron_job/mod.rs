//! CronJob.

mod schedule;

use api::Object;
use api::field::FieldError;
use serde_json::Value;

use super::cursor::{Cursor, Errors, field, text};
use super::edit::{default_text, default_to, get_mut};
use super::equality::changed;
use super::job::{condition_defaults, spec as job_spec};
use super::pod_template::warnings::of_spec;
use super::workload;
use crate::strategy::Strategy;

/// A Job's name is the CronJob's and 11 characters for the time, and has to be a label.
const MAX_NAME: usize = 52;

#[derive(Debug)]
pub struct CronJob;

impl Strategy for CronJob {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = get_mut(new, "spec") else { return };
        default_text(spec, "concurrencyPolicy", "Allow");
        default_to(spec, "suspend", false);
        default_to(spec, "successfulJobsHistoryLimit", 3);
        default_to(spec, "failedJobsHistoryLimit", 1);
        if let Some(template) = get_mut(spec, "jobTemplate") {
            workload::template_defaults(template);
            if let Some(job) = get_mut(template, "spec") {
                condition_defaults(job);
            }
        }
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        changed(new, old, "spec")
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        spec(new, None)
    }

    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        spec(new, Some(old))
    }

    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let metadata = Cursor::root(new, "metadata");
        let name = metadata.child("name");
        if name.len() > MAX_NAME {
            errors.invalid(&name, format!("must be no more than {MAX_NAME} characters"));
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let spec = Cursor::root(new, "spec");
        let template = spec.child("jobTemplate");
        let job = template.child("spec");
        let pods = job.child("template");
        let annotations = field(field(pods.value, "metadata"), "annotations");
        let mut warnings = workload::name_warnings(new);
        warnings.extend(of_spec(&pods.child("spec"), annotations, TEMPLATE_ANNOTATIONS));
        warnings
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        let names = workload::name_warnings(new).len();
        workload::if_counted(new, old, |new| self.warnings(new).split_off(names))
    }
}

const TEMPLATE_ANNOTATIONS: &str = "spec.jobTemplate.spec.template.metadata.annotations";

fn spec(new: &Object, old: Option<&Object>) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = Cursor::root(new, "spec");
    let old = old.map(|old| field(old, "spec"));
    schedule_of(&spec, old, &mut errors);
    errors.not_negative(&spec.child("startingDeadlineSeconds"));
    let zone = spec.child("timeZone");
    if old.is_none_or(|old| field(old, "timeZone") != zone.value) {
        time_zone(&zone, &mut errors);
    }
    errors.one_of(&spec.child("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let template = spec.child("jobTemplate");
    let job = template.child("spec");
    job_spec::spec(&job, &mut errors);
    if job.has("selector") {
        errors.invalid(&job.child("selector"), "`selector` will be auto-generated");
    }
    if job.flag("manualSelector") == Some(true) {
        errors.not_supported(&job.child("manualSelector"), &["nil", "false"]);
    }
    errors.not_negative(&spec.child("successfulJobsHistoryLimit"));
    errors.not_negative(&spec.child("failedJobsHistoryLimit"));
    errors.into_vec()
}

/// A schedule may not name a time zone, unless it always did; `timeZone` is for that.
fn schedule_of(spec: &Cursor, old: Option<&Value>, errors: &mut Errors) {
    let schedule = spec.child("schedule");
    if schedule.str().is_empty() {
        return errors.required(&schedule);
    }
    if let Err(reason) = schedule::check(schedule.str()) {
        errors.invalid(&schedule, reason);
    }
    if !schedule.str().contains("TZ") {
        return;
    }
    if !old.is_some_and(|old| text(old, "schedule").contains("TZ")) {
        errors.invalid(&schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if spec.has("timeZone") {
        errors.invalid(&schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
    }
}

fn time_zone(zone: &Cursor, errors: &mut Errors) {
    if !zone.is_set() {
        return;
    }
    if zone.str().is_empty() {
        return errors.invalid(zone, "timeZone must be nil or non-empty string");
    }
    if zone.str().eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(zone, detail);
    }
    // The one name that Go knows without a file.
    if zone.str() != "Local" && !is_zone(zone.str()) {
        errors.invalid(zone, format!("unknown time zone {}", zone.str()));
    }
}

fn is_zone(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let part = |part: &str| {
        (1..=14).contains(&part.len())
            && part != "."
            && part != ".."
            && !part.starts_with('-')
            && part.bytes().all(letter)
    };
    name.split('/').all(part) && jiff::tz::TimeZone::get(name).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cron_job(more: Value) -> Value {
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]});
        let job = json!({"spec": {"template": {"spec": pod}}});
        let mut object = json!({"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "jobTemplate": job}});
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            object["spec"][name] = value;
        }
        CronJob.defaults(&mut object, None);
        object
    }

    fn texts(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_cron_job_is_filled_in() {
        let object = cron_job(json!({}));
        let spec = &object["spec"];
        assert_eq!((&spec["concurrencyPolicy"], &spec["suspend"]), (&json!("Allow"), &json!(false)));
        assert_eq!((&spec["successfulJobsHistoryLimit"], &spec["failedJobsHistoryLimit"]), (&json!(3), &json!(1)));
        assert_eq!(spec["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"], "ClusterFirst");
        assert!(spec["jobTemplate"]["spec"]["backoffLimit"].is_null());
        assert_eq!(texts(CronJob.validate(&object)), Vec::<String>::new());
        assert_eq!(texts(CronJob.validate_create(&object)), Vec::<String>::new());
    }

    #[test]
    fn cron_jobs_are_checked() {
        let table: &[(&str, Value, &[&str])] = &[
            ("no schedule", json!({"schedule": ""}), &["spec.schedule: Required value"]),
            (
                "four fields",
                json!({"schedule": "* * * *"}),
                &["spec.schedule: Invalid value: \"* * * *\": expected exactly 5 fields, found 4: [* * * *]"],
            ),
            (
                "unknown zone",
                json!({"timeZone": "Mars/Base"}),
                &["spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base"],
            ),
            (
                "zone in the schedule",
                json!({"schedule": "TZ=UTC 0 * * * *"}),
                &[
                    "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field \
                   instead",
                ],
            ),
            (
                "policy",
                json!({"concurrencyPolicy": "Maybe"}),
                &[
                    "spec.concurrencyPolicy: Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                ],
            ),
        ];
        for (name, more, expected) in table {
            let object = cron_job(more.clone());
            let mut errors = CronJob.validate(&object);
            errors.extend(CronJob.validate_create(&object));
            assert_eq!(texts(errors), *expected, "{name}");
        }
    }

    #[test]
    fn an_old_zone_in_the_schedule_stays() {
        let old = cron_job(json!({"schedule": "TZ=UTC 0 * * * *"}));
        assert_eq!(texts(CronJob.validate_again(&old, &old)), Vec::<String>::new());
        let both = cron_job(json!({"schedule": "TZ=UTC 0 * * * *", "timeZone": "Etc/UTC"}));
        let errors = texts(CronJob.validate_again(&both, &old));
        assert!(errors[0].ends_with("cannot use both timeZone field and TZ or CRON_TZ in schedule"), "{errors:?}");
    }
}
