//! Which checks a standard has, and what they share.

use std::collections::BTreeSet;

use serde_json::Value;

use super::level::{Level, Standard};
use super::{baseline, restricted};

/// The version whose standards are the latest.
const NEWEST: u32 = 35;

/// A pod or a template of pods, as of a minor version.
pub struct Pod<'a> {
    pub annotations: &'a Value,
    pub spec: &'a Value,
    pub minor: u32,
}

pub struct Violation {
    pub reason: String,
    pub detail: String,
}

type Run = fn(&Pod<'_>) -> Option<Violation>;

struct Check {
    level: Level,
    /// The first minor version that has it.
    since: u32,
    /// Of a baseline check: from this version on a restricted check says more.
    until_restricted: Option<u32>,
    run: Run,
}

const fn base(since: u32, until_restricted: Option<u32>, run: Run) -> Check {
    Check { level: Level::Baseline, since, until_restricted, run }
}

const fn strict(since: u32, run: Run) -> Check {
    Check { level: Level::Restricted, since, until_restricted: None, run }
}

/// In the order of upstream's names for them, which is the order in messages.
const CHECKS: [Check; 19] = [
    base(0, None, baseline::app_armor),
    base(0, Some(22), baseline::capabilities),
    base(0, None, baseline::host_namespaces),
    base(0, Some(0), baseline::host_paths),
    base(0, None, baseline::host_ports),
    base(34, None, baseline::probe_hosts),
    base(0, None, baseline::privileged),
    base(0, Some(35), baseline::proc_mount),
    base(0, None, baseline::selinux),
    base(0, Some(19), baseline::seccomp),
    base(0, None, baseline::sysctls),
    base(0, None, baseline::host_process),
    strict(8, restricted::privilege_escalation),
    strict(22, restricted::capabilities),
    strict(35, restricted::proc_mount),
    strict(0, restricted::volumes),
    strict(0, restricted::non_root),
    strict(23, restricted::user),
    strict(19, restricted::seccomp),
];

#[derive(Default)]
pub struct Findings(Vec<Violation>);

impl Findings {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn reasons(&self) -> String {
        self.0.iter().map(|found| found.reason.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub fn details(&self) -> String {
        self.0.iter().map(|found| format!("{} ({})", found.reason, found.detail)).collect::<Vec<_>>().join(", ")
    }
}

/// What the standard forbids of a pod or a template.
pub fn examine(pod: &Value, standard: Standard) -> Findings {
    if standard.level == Level::Privileged {
        return Findings::default();
    }
    let minor = standard.version.unwrap_or(NEWEST).min(NEWEST);
    let pod = Pod { annotations: &pod["metadata"]["annotations"], spec: &pod["spec"], minor };
    let restricted = standard.level == Level::Restricted;
    let applies = |check: &&Check| {
        let overridden = restricted && check.until_restricted.is_some_and(|until| minor >= until);
        check.level <= standard.level && minor >= check.since && !overridden
    };
    Findings(CHECKS.iter().filter(applies).filter_map(|check| (check.run)(&pod)).collect())
}

impl<'a> Pod<'a> {
    pub fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        let spec = self.spec;
        lists.into_iter().flat_map(move |list| spec[list].as_array().into_iter().flatten())
    }

    /// Names of the containers that are so.
    pub fn those(&self, is_so: impl Fn(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| is_so(container)).map(name).collect()
    }

    pub fn is_windows(&self) -> bool {
        self.minor >= 25 && self.spec["os"]["name"] == "windows"
    }

    /// Root of such a pod is nobody on the host.
    pub fn has_own_users(&self) -> bool {
        self.minor >= 35 && self.spec["hostUsers"] == false
    }
}

pub fn name(thing: &Value) -> &str {
    thing["name"].as_str().unwrap_or_default()
}

pub fn security(container: &Value) -> &Value {
    &container["securityContext"]
}

pub fn violation(reason: &str, detail: String) -> Option<Violation> {
    Some(Violation { reason: reason.to_owned(), detail })
}

pub fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect::<Vec<_>>().join(", ")
}

pub fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

/// `container "a"`, `containers "a", "b"`.
pub fn named(word: &str, names: &[&str]) -> String {
    format!("{} {}", plural(word, names.len()), quoted(names))
}

/// The pod itself and containers, as those who set something.
pub fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    let containers = (!containers.is_empty()).then(|| named("container", containers));
    let setters: Vec<String> = pod.then(|| "pod".to_owned()).into_iter().chain(containers).collect();
    (!setters.is_empty()).then(|| setters.join(" and "))
}

pub fn texts<'a>(values: impl IntoIterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    values.into_iter().filter_map(Value::as_str).collect()
}

/// What is at `path` of the pod's or a container's security context, where it is set and `allowed` does not allow it: whether
/// the pod's, and of which containers, with the values.
pub fn bad_values<'a>(
    pod: &Pod<'a>,
    path: [&str; 2],
    allowed: impl Fn(&str) -> bool,
) -> (bool, Vec<&'a str>, BTreeSet<&'a str>) {
    let bad = |owner: &'a Value| {
        let value = security(owner).get(path[0]).filter(|value| value.is_object())?;
        Some(value[path[1]].as_str().unwrap_or_default()).filter(|value| !allowed(value))
    };
    let containers = pod.those(|container| bad(container).is_some());
    let values = pod.containers().chain([pod.spec]).filter_map(bad).collect();
    (bad(pod.spec).is_some(), containers, values)
}
