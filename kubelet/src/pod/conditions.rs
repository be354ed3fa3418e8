//! The conditions that the kubelet owns: how each follows from the container statuses and the phase.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::container::ContainerKind;
use super::phase::{FAILED, SUCCEEDED, Shown};

#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    status: bool,
    reason: &'static str,
    message: String,
}

const TRUE: Verdict = Verdict { status: true, reason: "", message: String::new() };

fn not(reason: &'static str, message: String) -> Verdict {
    Verdict { status: false, reason, message }
}

fn names(list: &[&str]) -> String {
    format!("[{}]", list.join(" "))
}

fn initialized(containers: &[Shown<'_>], phase: &str, started: bool) -> Verdict {
    if phase == SUCCEEDED {
        return Verdict { reason: "PodCompleted", ..TRUE };
    }
    let done = |shown: &Shown<'_>| match shown.kind {
        ContainerKind::Sidecar => shown.status.started == Some(true),
        _ => shown.status.ready,
    };
    let of_init = containers.iter().filter(|shown| matches!(shown.kind, ContainerKind::Init | ContainerKind::Sidecar));
    let missing: Vec<&str> = of_init.filter(|shown| !done(shown)).map(|shown| shown.status.name.as_str()).collect();
    match started || missing.is_empty() {
        true => TRUE,
        false => not("ContainersNotInitialized", format!("containers with incomplete status: {}", names(&missing))),
    }
}

fn containers_ready(containers: &[Shown<'_>], phase: &str) -> Verdict {
    match phase {
        SUCCEEDED => return not("PodCompleted", String::new()),
        FAILED => return not("PodFailed", String::new()),
        _ => {}
    }
    let counted = containers.iter().filter(|shown| matches!(shown.kind, ContainerKind::Sidecar | ContainerKind::App));
    let unready: Vec<&str> =
        counted.filter(|shown| !shown.status.ready).map(|shown| shown.status.name.as_str()).collect();
    match unready.is_empty() {
        true => TRUE,
        false => not("ContainersNotReady", format!("containers with unready status: {}", names(&unready))),
    }
}

fn ready(containers_ready: &Verdict, pod: &Pod) -> Verdict {
    if !containers_ready.status {
        return not(containers_ready.reason, containers_ready.message.clone());
    }
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let conditions = || pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let unmet: Vec<String> = gates
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match conditions().find(|condition| condition.type_ == *kind) {
                None => Some(format!("corresponding condition of pod readiness gate {kind:?} does not exist.")),
                Some(condition) if condition.status == "True" => None,
                Some(condition) => {
                    Some(format!("the status of pod readiness gate {kind:?} is not \"True\", but {}", condition.status))
                }
            }
        })
        .collect();
    match unmet.is_empty() {
        true => TRUE,
        false => not("ReadinessGatesNotReady", unmet.join(", ")),
    }
}

/// What conditions are computed from.
pub struct Facts<'a> {
    pub pod: &'a Pod,
    pub containers: &'a [Shown<'a>],
    pub phase: &'a str,
    pub sandbox_ready: bool,
    /// A container of the pod proper has been started at least once.
    pub started: bool,
}

/// Kubelet-owned conditions; transition times are kept from `before` where the status is the same.
pub fn conditions(facts: &Facts<'_>, before: &[PodCondition], now: Timestamp) -> Vec<PodCondition> {
    let known: BTreeMap<&str, &PodCondition> =
        before.iter().map(|condition| (condition.type_.as_str(), condition)).collect();
    let containers_ready = containers_ready(facts.containers, facts.phase);
    let sandbox = Verdict { status: facts.sandbox_ready, ..TRUE };
    let all = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(facts.containers, facts.phase, facts.started)),
        ("Ready", ready(&containers_ready, facts.pod)),
        ("ContainersReady", containers_ready),
        ("PodScheduled", TRUE),
    ];
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let condition = |(kind, verdict): (&str, Verdict)| {
        let status = if verdict.status { "True" } else { "False" };
        let same = known.get(kind).filter(|condition| condition.status == status);
        PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: text(verdict.reason),
            message: text(&verdict.message),
            last_transition_time: same.and_then(|condition| condition.last_transition_time.clone()).or(Some(Time(now))),
            last_probe_time: None,
            observed_generation: facts.pod.metadata.generation,
        }
    };
    all.into_iter().map(condition).collect()
}

/// For a pod whose containers all ended: the ones that never got anywhere count as lost.
pub fn settle(status: &mut ContainerStatus, message: &str) {
    let ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
    if !ended {
        let terminated = k8s_openapi::api::core::v1::ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some(message.to_owned()),
            ..Default::default()
        };
        status.state =
            Some(k8s_openapi::api::core::v1::ContainerState { terminated: Some(terminated), ..Default::default() });
    }
}
