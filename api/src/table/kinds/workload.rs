//! Workloads: what runs pods.

use jiff::Timestamp;
use serde_json::Value;

use super::{at, count, each, has_condition, joined, label_selector, labels, list, number, since, text, text_or};
use crate::Object;
use crate::meta::Meta;
use crate::selector::LabelSelector;
use crate::table::Column;
use crate::time;

const CONTAINERS: Column = Column::text("Containers", |object, _| containers(object, "name")).wide();
const IMAGES: Column = Column::text("Images", |object, _| containers(object, "image")).wide();
const SELECTOR: Column = Column::text("Selector", |object, _| label_selector(object, "/spec/selector")).wide();

fn containers(object: &Object, key: &str) -> Value {
    joined(each(list(object, "/spec/template/spec/containers"), key), ",").into()
}

const DESIRED: Column = Column::integer("Desired", |object, _| number(object, "/spec/replicas").into());
const CURRENT: Column = Column::integer("Current", |object, _| number(object, "/status/replicas").into());
const READY: Column = Column::integer("Ready", |object, _| number(object, "/status/readyReplicas").into());
/// Of all that are wanted.
const READY_OF: Column = Column::text("Ready", |object, _| {
    format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas")).into()
});

pub(super) static REPLICA_SET: &[Column] =
    &[Column::NAME, DESIRED, CURRENT, READY, Column::AGE, CONTAINERS, IMAGES, SELECTOR];

pub(super) static REPLICATION_CONTROLLER: &[Column] = &[
    Column::NAME,
    DESIRED,
    CURRENT,
    READY,
    Column::AGE,
    CONTAINERS,
    IMAGES,
    Column::text("Selector", |controller, _| labels(controller, "/spec/selector")).wide(),
];

pub(super) static DEPLOYMENT: &[Column] = &[
    Column::NAME,
    READY_OF,
    Column::text("Up-to-date", |deployment, _| number(deployment, "/status/updatedReplicas").into()),
    Column::text("Available", |deployment, _| number(deployment, "/status/availableReplicas").into()),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    Column::text("Selector", |deployment, _| match LabelSelector::from_object(deployment.pointer("/spec/selector")) {
        Ok(selector) => selector.to_string().into(),
        Err(_) => "<invalid>".into(),
    })
    .wide(),
];

pub(super) static STATEFUL_SET: &[Column] = &[Column::NAME, READY_OF, Column::AGE, CONTAINERS, IMAGES];

pub(super) static DAEMON_SET: &[Column] = &[
    Column::NAME,
    Column::integer("Desired", |set, _| number(set, "/status/desiredNumberScheduled").into()),
    Column::integer("Current", |set, _| number(set, "/status/currentNumberScheduled").into()),
    Column::integer("Ready", |set, _| number(set, "/status/numberReady").into()),
    Column::integer("Up-to-date", |set, _| number(set, "/status/updatedNumberScheduled").into()),
    Column::integer("Available", |set, _| number(set, "/status/numberAvailable").into()),
    Column::text("Node Selector", |set, _| labels(set, "/spec/template/spec/nodeSelector")),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) static POD_TEMPLATE: &[Column] = &[
    Column::NAME,
    Column::text("Containers", |object, _| joined(each(list(object, "/template/spec/containers"), "name"), ",").into()),
    Column::text("Images", |object, _| joined(each(list(object, "/template/spec/containers"), "image"), ",").into()),
    Column::text("Pod Labels", |object, _| labels(object, "/template/metadata/labels")),
];

pub(super) static SCALE: &[Column] = &[
    Column::text("Name", |scale, _| scale.name().into()),
    DESIRED,
    Column::integer("Available", |scale, _| number(scale, "/status/replicas").into()),
    Column::AGE,
];

pub(super) static CONTROLLER_REVISION: &[Column] = &[
    Column::NAME,
    Column::text("Controller", |revision, _| controller(revision)),
    Column::text("Revision", |revision, _| number(revision, "/revision").into()),
    Column::AGE,
];

/// `daemonset.apps/name`.
fn controller(object: &Object) -> Value {
    let Some(owner) = object.owner_references().iter().find(|owner| owner["controller"] == true) else {
        return "<none>".into();
    };
    let kind = text(owner, "/kind").to_lowercase();
    let name = text(owner, "/name");
    match text(owner, "/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}").into(),
        None => format!("{kind}/{name}").into(),
    }
}

pub(super) static JOB: &[Column] = &[
    Column::NAME,
    Column::text("Status", |job, _| job_status(job).into()),
    Column::text("Completions", |job, _| completions(job).into()),
    Column::text("Duration", duration),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn job_status(job: &Object) -> &'static str {
    match () {
        _ if has_condition(job, "Complete") => "Complete",
        _ if has_condition(job, "Failed") => "Failed",
        _ if job.deletion_timestamp().is_some() => "Terminating",
        _ if has_condition(job, "Suspended") => "Suspended",
        _ if has_condition(job, "FailureTarget") => "FailureTarget",
        _ if has_condition(job, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        _ => "Running",
    }
}

fn completions(job: &Object) -> String {
    let succeeded = number(job, "/status/succeeded");
    match (at(job, "/spec/completions").as_i64(), number(job, "/spec/parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Object, now: Timestamp) -> Value {
    let Ok(start) = time::parse_time(text(job, "/status/startTime")) else { return "".into() };
    let end = time::parse_time(text(job, "/status/completionTime")).unwrap_or(now);
    time::human_duration(end.duration_since(start)).into()
}

const JOB_CONTAINERS: &str = "/spec/jobTemplate/spec/template/spec/containers";

pub(super) static CRON_JOB: &[Column] = &[
    Column::NAME,
    Column::text("Schedule", |job, _| text(job, "/spec/schedule").into()),
    Column::text("Timezone", |job, _| text_or(job, "/spec/timeZone", "<none>")),
    Column::boolean("Suspend", |job, _| match at(job, "/spec/suspend").as_bool() {
        Some(true) => "True".into(),
        Some(false) => "False".into(),
        None => "<unset>".into(),
    }),
    Column::integer("Active", |job, _| count(job, "/status/active").into()),
    Column::text("Last Schedule", |job, now| since(job, "/status/lastScheduleTime", "<none>", now)),
    Column::AGE,
    Column::text("Containers", |job, _| joined(each(list(job, JOB_CONTAINERS), "name"), ",").into()).wide(),
    Column::text("Images", |job, _| joined(each(list(job, JOB_CONTAINERS), "image"), ",").into()).wide(),
    Column::text("Selector", |job, _| label_selector(job, "/spec/jobTemplate/spec/selector")).wide(),
];
