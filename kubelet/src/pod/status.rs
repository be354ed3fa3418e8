//! The v1.PodStatus of a pod as its machine sees it, and when it is worth publishing.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    PodIP, PodStatus, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{Facts, conditions, settle};
use super::container::{Before, ContainerKind, Exited, Member, START_ERROR, State, Terminated};
use super::phase::{FAILED, PENDING, Shown, is_terminal, phase};
use super::{Effect, PodMachine, Sandbox, policy};

/// Prefix of container ids in the API.
pub const ID_SCHEME: &str = "setpoint://";

const LOST: &str = "The container could not be located when the pod was terminated";

impl PodMachine {
    /// Emits the status if it differs from the last one.
    pub(super) fn publish(&mut self, now: Timestamp) {
        if self.settled || self.gone {
            return;
        }
        let status = self.compute_status(now);
        if status != self.published {
            self.published = status.clone();
            self.number += 1;
            self.effects.push_back(Effect::Publish { number: self.number, status: Box::new(status) });
        }
    }

    fn compute_status(&self, now: Timestamp) -> PodStatus {
        if let Some(verdict) = self.verdict.as_ref().filter(|verdict| verdict.rejected) {
            return PodStatus {
                phase: Some(FAILED.to_owned()),
                reason: Some(verdict.reason.clone()),
                message: Some(verdict.message.clone()),
                qos_class: Some(crate::launch::qos::class(self.spec()).as_str().to_owned()),
                start_time: Some(Time(self.start_time)),
                observed_generation: self.pod.metadata.generation,
                ..PodStatus::default()
            };
        }
        let statuses: Vec<ContainerStatus> = self.members.iter().map(|member| self.container_status(member)).collect();
        let shown: Vec<Shown<'_>> =
            self.members.iter().zip(&statuses).map(|(member, status)| self.shown(member, status)).collect();
        let live = self.members.iter().any(Member::live);
        let phase = self.phase(&shown);
        let facts = Facts {
            pod: &self.pod,
            containers: &shown,
            phase: &phase,
            // A pod that has ended loses its sandbox next: told in one write.
            sandbox_ready: matches!(self.sandbox, Sandbox::Ready { .. }) && (self.ending.is_none() || live),
            started: self.initialized,
        };
        let conditions = conditions(&facts, self.published.conditions.as_deref().unwrap_or_default(), now);
        let of = |kinds: &[ContainerKind]| {
            let chosen = self.members.iter().zip(&statuses).filter(|(member, _)| kinds.contains(&member.kind));
            let list: Vec<ContainerStatus> = chosen.map(|(_, status)| status.clone()).collect();
            (!list.is_empty()).then_some(list)
        };
        let mut containers = of(&[ContainerKind::App]);
        if let Some(list) = &mut containers {
            list.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let verdict = self.verdict.as_ref().filter(|_| phase == FAILED);
        let host_ips: Vec<String> = self.facts.host_ips.iter().map(ToString::to_string).collect();
        let pod_ips: Vec<String> = match self.spec().host_network {
            Some(true) => host_ips.clone(),
            _ => self.ips.iter().map(ToString::to_string).collect(),
        };
        PodStatus {
            phase: Some(phase.clone()),
            reason: verdict.map(|verdict| verdict.reason.clone()),
            message: verdict.map(|verdict| verdict.message.clone()),
            conditions: Some(conditions),
            container_statuses: containers,
            init_container_statuses: of(&[ContainerKind::Init, ContainerKind::Sidecar]),
            ephemeral_container_statuses: of(&[ContainerKind::Ephemeral]),
            host_ip: host_ips.first().cloned(),
            host_ips: (!host_ips.is_empty()).then(|| host_ips.into_iter().map(|ip| HostIP { ip }).collect()),
            pod_ip: pod_ips.first().cloned(),
            pod_ips: (!pod_ips.is_empty()).then(|| pod_ips.into_iter().map(|ip| PodIP { ip }).collect()),
            qos_class: Some(crate::launch::qos::class(self.spec()).as_str().to_owned()),
            start_time: Some(Time(self.start_time)),
            observed_generation: self.pod.metadata.generation,
            ..PodStatus::default()
        }
    }

    fn shown<'a>(&self, member: &Member, status: &'a ContainerStatus) -> Shown<'a> {
        let terminated = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let code = terminated.or(last).map(|terminated| terminated.exit_code);
        let forced = member.to_start();
        let restarts = forced || code.is_some_and(|code| policy::restarts(member.kind, &member.spec, &self.pod, code));
        Shown { kind: member.kind, status, restarts }
    }

    /// Terminal phases are final, and are not shown while a process may still run.
    fn phase(&self, shown: &[Shown<'_>]) -> String {
        let before = self.published.phase.as_deref();
        if is_terminal(before) {
            return before.unwrap_or_default().to_owned();
        }
        let live = self.members.iter().any(Member::live);
        let mut phase = phase(shown, self.ending.is_some(), self.initialized);
        if !live && ((self.over() && !is_terminal(Some(phase))) || self.verdict.is_some()) {
            phase = FAILED;
        }
        if let Some(imposed) = self.imposed.as_ref().filter(|_| !live) {
            return imposed.clone();
        }
        match live && is_terminal(Some(phase)) {
            true => before.unwrap_or(PENDING).to_owned(),
            false => phase.to_owned(),
        }
    }

    fn container_status(&self, member: &Member) -> ContainerStatus {
        let (state, last) = self.states(member);
        let image = member.image.as_ref();
        let exists = member.id.is_some();
        let resources = Some(member.spec.resources.clone().unwrap_or_default()).filter(|_| exists);
        let mut status = ContainerStatus {
            name: member.name().to_owned(),
            image: member.spec.image.clone().unwrap_or_default(),
            image_id: image.filter(|_| exists).map(|image| image.reference.clone()).unwrap_or_default(),
            container_id: member.id.as_ref().map(|id| format!("{ID_SCHEME}{id}")),
            ready: member.ready(),
            restart_count: i32::try_from(member.restart_count()).unwrap_or(i32::MAX),
            started: (member.kind != ContainerKind::Ephemeral).then(|| member.started()),
            state: Some(state),
            // Always there, as upstream writes it, so that what the API has compares equal.
            last_state: Some(last.map_or_else(ContainerState::default, |end| terminated(&end))),
            allocated_resources: resources.as_ref().and_then(|resources| resources.requests.clone()),
            resources,
            volume_mounts: volume_mounts(member),
            ..ContainerStatus::default()
        };
        // The last container that showed it had started decides whether those that never did count as lost.
        let reached = match member.kind {
            ContainerKind::App => self.was_initialized(),
            ContainerKind::Init | ContainerKind::Sidecar => exists,
            ContainerKind::Ephemeral => false,
        };
        if reached && self.over() {
            settle(&mut status, LOST);
        }
        status
    }

    fn was_initialized(&self) -> bool {
        let mut init =
            self.members.iter().filter(|member| matches!(member.kind, ContainerKind::Init | ContainerKind::Sidecar));
        self.initialized
            || init.all(|member| member.ready() || (member.kind == ContainerKind::Sidecar && member.id.is_some()))
    }

    /// `state` and `lastState`.
    fn states(&self, member: &Member) -> (ContainerState, Option<Terminated>) {
        let previous = member.previous.clone();
        match &member.state {
            State::Running(running) => {
                let running = ContainerStateRunning { started_at: Some(Time(running.started_at)) };
                (ContainerState { running: Some(running), ..Default::default() }, previous)
            }
            // While a new one is being made, the old one's end is shown.
            State::Exited(exited)
            | State::Pulling { before: Before::Exited(exited) }
            | State::Starting { before: Before::Exited(exited), .. } => match exited.back_off {
                Some(delay) => (self.back_off(member, exited, delay), Some(exited.terminated.clone())),
                None => (terminated(&exited.terminated), previous),
            },
            State::Waiting(wait)
            | State::Pulling { before: Before::Waiting(wait) }
            | State::Starting { before: Before::Waiting(wait), .. } => {
                let default = (self.default_waiting(), String::new());
                let (reason, message) = wait.reason.map_or(default, |reason| (reason.as_str(), wait.message.clone()));
                (waiting(reason, message), previous)
            }
            State::Discarding => (waiting(self.default_waiting(), String::new()), previous),
        }
    }

    /// A process that could not be started shows why until its failures repeat.
    fn back_off(&self, member: &Member, exited: &Exited, delay: Duration) -> ContainerState {
        if exited.terminated.reason == START_ERROR && delay <= super::backoff::INITIAL {
            return waiting("RunContainerError", exited.terminated.message.clone().unwrap_or_default());
        }
        let delay = match (delay.as_secs() / 60, delay.as_secs() % 60) {
            (0, seconds) => format!("{seconds}s"),
            (minutes, seconds) => format!("{minutes}m{seconds}s"),
        };
        let name = member.name();
        let message = format!("back-off {delay} restarting failed container={name} pod={}", self.display_name());
        waiting("CrashLoopBackOff", message)
    }

    fn default_waiting(&self) -> &'static str {
        match self.spec().init_containers.as_ref().is_some_and(|init| !init.is_empty()) {
            true => "PodInitializing",
            false => "ContainerCreating",
        }
    }
}

fn waiting(reason: &str, message: String) -> ContainerState {
    let message = (!message.is_empty()).then_some(message);
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..Default::default()
    }
}

fn terminated(end: &Terminated) -> ContainerState {
    ContainerState { terminated: Some(terminated_state(end)), ..Default::default() }
}

fn terminated_state(end: &Terminated) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(format!("{ID_SCHEME}{}", end.id)),
        exit_code: end.code,
        signal: None,
        reason: Some(end.reason.to_owned()),
        message: end.message.clone(),
        started_at: end.started_at.map(Time),
        finished_at: end.finished_at.map(Time),
    }
}

fn volume_mounts(member: &Member) -> Option<Vec<VolumeMountStatus>> {
    let mounts = member.spec.volume_mounts.as_ref()?;
    let status = |mount: &k8s_openapi::api::core::v1::VolumeMount| {
        let recursive = mount.recursive_read_only.as_deref();
        let enabled = matches!(recursive, Some("Enabled" | "IfPossible"));
        let mode = if enabled { "Enabled" } else { "Disabled" };
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only,
            recursive_read_only: (mount.read_only == Some(true)).then(|| mode.to_owned()),
        }
    };
    Some(mounts.iter().map(status).collect())
}
