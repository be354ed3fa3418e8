//! Pods: the one kind whose columns are computed from the whole status.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{at, has_condition, list, number, text, text_or};
use crate::Object;
use crate::meta::Meta;
use crate::table::Column;
use crate::time;

pub(super) static POD: &[Column] = &[
    Column::NAME,
    Column::text("Ready", |pod, _| {
        let summary = Summary::of(pod);
        format!("{}/{}", summary.ready, summary.containers).into()
    }),
    Column::text("Status", |pod, _| Summary::of(pod).reason.into()),
    Column::text("Restarts", |pod, now| Summary::of(pod).restarts_text(now).into()),
    Column::AGE,
    Column::text("IP", |pod, _| text_or(pod, "/status/podIPs/0/ip", "<none>")).wide(),
    Column::text("Node", |pod, _| text_or(pod, "/spec/nodeName", "<none>")).wide(),
    Column::text("Nominated Node", |pod, _| text_or(pod, "/status/nominatedNodeName", "<none>")).wide(),
    Column::text("Readiness Gates", |pod, _| {
        let gates = list(pod, "/spec/readinessGates");
        let ready = gates.iter().filter(|gate| has_condition(pod, gate["conditionType"].as_str().unwrap_or_default()));
        if gates.is_empty() { "<none>".into() } else { format!("{}/{}", ready.count(), gates.len()).into() }
    })
    .wide(),
];

pub(super) fn row_conditions(pod: &Object) -> Option<Value> {
    let (reason, message) = match text(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

struct Summary<'a> {
    containers: usize,
    ready: usize,
    reason: String,
    restarts: Restarts<'a>,
}

#[derive(Clone, Copy, Default)]
struct Restarts<'a> {
    count: i64,
    /// The latest end of a container that was restarted; RFC 3339 texts of one form order like the times.
    last: &'a str,
}

impl<'a> Restarts<'a> {
    fn add(&mut self, status: &'a Value) {
        self.count += number(status, "/restartCount");
        self.last = self.last.max(text(status, "/lastState/terminated/finishedAt"));
    }
}

impl<'a> Summary<'a> {
    fn of(pod: &'a Object) -> Self {
        let phase = text(pod, "/status/phase");
        let mut reason = match text(pod, "/status/reason") {
            "" => phase,
            reason => reason,
        };
        let conditions = list(pod, "/status/conditions");
        if conditions.iter().any(|each| each["type"] == "PodScheduled" && each["reason"] == "SchedulingGated") {
            reason = "SchedulingGated";
        }
        let sidecars = list(pod, "/spec/initContainers").iter().filter(|each| each["restartPolicy"] == "Always");
        let containers = list(pod, "/spec/containers").len() + sidecars.count();
        let mut summary = Self { containers, ready: 0, reason: reason.to_owned(), restarts: Restarts::default() };
        let (initializing, of_sidecars) = summary.init_containers(pod);
        if !initializing || has_condition(pod, "Initialized") {
            summary.restarts = of_sidecars;
            summary.main_containers(pod);
        }
        if pod.deletion_timestamp().is_some() {
            if text(pod, "/status/reason") == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if phase != "Succeeded" && phase != "Failed" {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Whether an init container is still to finish, and the restarts of sidecars alone.
    fn init_containers(&mut self, pod: &'a Object) -> (bool, Restarts<'a>) {
        let specs = list(pod, "/spec/initContainers");
        let mut of_sidecars = Restarts::default();
        for (index, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
            let spec = specs.iter().find(|spec| spec["name"] == status["name"]);
            let is_sidecar = spec.is_some_and(|spec| spec["restartPolicy"] == "Always");
            self.restarts.add(status);
            if is_sidecar {
                of_sidecars.add(status);
            }
            let terminated = at(status, "/state/terminated");
            let waiting = text(status, "/state/waiting/reason");
            if terminated.is_object() && number(terminated, "/exitCode") == 0 {
                continue;
            }
            if is_sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            self.reason = if terminated.is_object() {
                format!("Init:{}", end_reason(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{}", specs.len())
            };
            return (true, of_sidecars);
        }
        (false, of_sidecars)
    }

    fn main_containers(&mut self, pod: &'a Object) {
        let mut running = false;
        let mut error = None;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.restarts.add(status);
            let waiting = text(status, "/state/waiting/reason");
            let terminated = at(status, "/state/terminated");
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if terminated.is_object() {
                self.reason = end_reason(terminated);
                if number(terminated, "/exitCode") != 0 {
                    error = Some(self.reason.clone());
                }
            } else if status["ready"] == true && at(status, "/state/running").is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            // Some container still runs, or one has failed.
            if running && has_condition(pod, "Ready") {
                self.reason = "Running".to_owned();
            } else if let Some(error) = error {
                self.reason = error;
            } else if running {
                self.reason = "NotReady".to_owned();
            }
        }
    }

    fn restarts_text(&self, now: Timestamp) -> String {
        let Restarts { count, last } = self.restarts;
        if count != 0 && !last.is_empty() {
            format!("{count} ({} ago)", time::age(Some(last), now))
        } else {
            count.to_string()
        }
    }
}

fn end_reason(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pod: Value, expected: (&str, &str, &str)) {
        let now = time::parse_time("2024-01-01T01:00:00Z").unwrap();
        let cell = |index: usize| (POD[index].cell)(&pod, now);
        let (ready, status, restarts) = expected;
        assert_eq!([cell(1), cell(2), cell(3)], [ready, status, restarts].map(Value::from), "{pod}");
    }

    fn pod(status: Value) -> Value {
        json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}, {"name": "j"}]}, "status": status})
    }

    #[test]
    fn phases_and_containers() {
        let running = |ready: bool| json!({"ready": ready, "restartCount": 0, "state": {"running": {}}});
        let waiting = |reason: &str| {
            json!({"restartCount": 3, "state": {"waiting": {"reason": reason}},
            "lastState": {"terminated": {"finishedAt": "2024-01-01T00:55:00Z"}}})
        };
        let ended = |code: i64, reason: &str| json!({"state": {"terminated": {"exitCode": code, "reason": reason}}});
        let main = |statuses: Value| pod(json!({"phase": "Running", "containerStatuses": statuses}));
        let ready = json!([{"type": "Ready", "status": "True"}]);
        check(pod(json!({"phase": "Pending"})), ("0/2", "Pending", "0"));
        check(pod(json!({"phase": "Failed", "reason": "Evicted"})), ("0/2", "Evicted", "0"));
        check(main(json!([running(true), running(true)])), ("2/2", "Running", "0"));
        check(main(json!([running(true), waiting("CrashLoopBackOff")])), ("1/2", "CrashLoopBackOff", "3 (5m ago)"));
        check(main(json!([ended(0, "Completed"), ended(0, "Completed")])), ("0/2", "Completed", "0"));
        check(main(json!([ended(0, "Completed"), ended(1, "Error")])), ("0/2", "Error", "0"));
        check(main(json!([ended(0, "Completed"), running(true)])), ("1/2", "NotReady", "0"));
        let status = json!({"phase": "Running", "conditions": ready, "containerStatuses": [ended(0, "Completed"), running(true)]});
        check(pod(status), ("1/2", "Running", "0"));
        let signal = json!({"state": {"terminated": {"exitCode": 137, "signal": 9}}});
        check(main(json!([signal])), ("0/2", "Signal:9", "0"));
        let gated = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]});
        check(pod(gated), ("0/2", "SchedulingGated", "0"));
    }

    #[test]
    fn init_containers_and_deletion() {
        let done = json!({"name": "i", "restartCount": 1, "state": {"terminated": {"exitCode": 0}}});
        let init = |statuses: Value| pod(json!({"phase": "Pending", "initContainerStatuses": statuses}));
        check(init(json!([{"name": "i", "state": {"running": {}}}])), ("0/2", "Init:0/2", "0"));
        check(
            init(json!([done, {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}])),
            ("0/2", "Init:1/2", "1"),
        );
        check(
            init(json!([{"name": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}])),
            ("0/2", "Init:ErrImagePull", "0"),
        );
        check(init(json!([{"name": "i", "state": {"terminated": {"exitCode": 2}}}])), ("0/2", "Init:ExitCode:2", "0"));
        let mut sidecar =
            init(json!([{"name": "i", "started": true, "ready": true, "restartCount": 2, "state": {"running": {}}}]));
        sidecar["spec"]["initContainers"] = json!([{"name": "i", "restartPolicy": "Always"}]);
        check(sidecar, ("1/3", "Pending", "2"));
        let mut deleted = pod(json!({"phase": "Running"}));
        deleted["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:59:00Z");
        check(deleted.clone(), ("0/2", "Terminating", "0"));
        deleted["status"]["reason"] = json!("NodeLost");
        check(deleted.clone(), ("0/2", "Unknown", "0"));
        deleted["status"] = json!({"phase": "Succeeded"});
        check(deleted, ("0/2", "Succeeded", "0"));
    }
}
