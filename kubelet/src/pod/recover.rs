//! A machine for a pod that ran before this kubelet did: what the runtime has and what the API remembers become its state.
//!
//! Running containers stay as they are. The runtime is believed about what exists; the API fills in what is older (restart
//! counts never fall, readiness does not flap).

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use runtime::spec::ContainerState;

use super::container::{ContainerKind, Exited, Running, State, Terminated, from_nanoseconds};
use super::probe::Probes;
use super::status::ID_SCHEME;
use super::{Effect, Input, NodeFacts, Observed, ObservedContainer, PodMachine, Sandbox, policy};

impl PodMachine {
    pub fn recover(desired: Arc<Pod>, observed: Observed, facts: NodeFacts, now: Timestamp) -> PodMachine {
        let mut machine = PodMachine::new(desired, facts, now);
        let statuses = api_statuses(&machine.pod);
        for index in 0..machine.members.len() {
            let name = machine.members[index].name().to_owned();
            let mut own: Vec<&ObservedContainer> =
                observed.containers.iter().filter(|container| container.name == name).collect();
            own.sort_by_key(|container| std::cmp::Reverse(container.attempt));
            let known = statuses.iter().find(|status| status.name == name);
            machine.recover_member(index, &own, known, now);
        }
        machine.recover_sandbox(&observed, now);
        machine.advance(now);
        machine
    }

    fn recover_sandbox(&mut self, observed: &Observed, now: Timestamp) {
        let apps = || self.members.iter().filter(|member| member.kind == ContainerKind::App);
        let proper = apps().any(|member| member.id.is_some());
        self.initialized = proper;
        match &observed.sandbox {
            Some(sandbox) => {
                self.ips = sandbox.ips.clone();
                self.sandbox = Sandbox::Ready { attempt: sandbox.attempt };
                if !sandbox.ready {
                    self.on_sandbox_lost(now);
                }
            }
            None => {
                // Nothing to run in: what the API calls running is gone.
                self.ips = api_ips(&self.pod);
                self.initialized = false;
                if self.needs_sandbox() {
                    self.rerun_init();
                }
            }
        }
    }

    fn recover_member(
        &mut self,
        index: usize,
        own: &[&ObservedContainer],
        known: Option<&ContainerStatus>,
        now: Timestamp,
    ) {
        let floor = known.map_or(0, |status| u32::try_from(status.restart_count).unwrap_or(0));
        let Some(newest) = own.first() else {
            self.recover_unseen(index, floor, known, now);
            return;
        };
        let member = &mut self.members[index];
        member.kept = own.get(1).map(|container| (container.id.clone(), container.attempt));
        for old in own.iter().skip(2) {
            let container = old.name.clone();
            self.effects.push_back(Effect::RemoveContainer { container, id: old.id.clone(), attempt: old.attempt });
        }
        member.previous = own.get(1).and_then(|container| terminated(container));
        if matches!(newest.state, ContainerState::Created) {
            // Half made when the kubelet died; its attempt is made again.
            member.created = newest.attempt;
            member.id = own.get(1).map(|container| container.id.clone());
            member.state = State::Discarding;
            let (id, attempt) = (newest.id.clone(), newest.attempt);
            self.effects.push_back(Effect::RemoveContainer { container: newest.name.clone(), id, attempt });
            return;
        }
        member.created = newest.attempt.max(floor) + 1;
        member.id = Some(newest.id.clone());
        member.image = Some(newest.image.clone());
        member.image_name = newest.image_name.clone();
        match &newest.state {
            ContainerState::Running { started_at_ns, .. } => {
                let same = known.filter(|status| status.container_id.as_deref() == Some(&api_id(&newest.id)));
                // What was published does not change: the runtime's time is that of a moment before.
                let published = same.and_then(|status| status.state.as_ref()?.running.as_ref()?.started_at.as_ref());
                let started_at =
                    published.map(|time| time.0).or_else(|| from_nanoseconds(*started_at_ns)).unwrap_or(now);
                let was_started = same.and_then(|status| status.started).unwrap_or(false);
                let was_ready = same.is_some_and(|status| status.ready);
                member.probes = Probes::resume(&member.spec, started_at, was_started, was_ready);
                member.state =
                    State::Running(Running { id: newest.id.clone(), started_at, hook_pending: false, stop: None });
            }
            ContainerState::Exited(_) | ContainerState::Created => {
                let Some(mut terminated) = terminated(newest) else { return };
                let ran = known.filter(|status| status.container_id.as_deref() == Some(&api_id(&newest.id)));
                let ran = ran.and_then(|status| status.state.as_ref()).and_then(|state| state.running.as_ref());
                if let Some(running) = ran.filter(|_| terminated.start_failed()) {
                    // It did run; the launcher that knew its end is gone.
                    let started_at = running.started_at.as_ref().map(|time| time.0);
                    terminated = Terminated::unknown(&newest.id, started_at, now);
                }
                self.recover_exited(index, terminated, now);
            }
        }
    }

    /// How long it has been failing is not known any more: the first restart is immediate again.
    fn recover_exited(&mut self, index: usize, terminated: Terminated, now: Timestamp) {
        let pod = self.pod.clone();
        let member = &mut self.members[index];
        let restarts = policy::restarts(member.kind, &member.spec, &pod, terminated.code);
        let restart_at = restarts.then(|| member.crash.restart_at(terminated.finished_at.unwrap_or(now)));
        member.state = State::Exited(Exited { terminated, restart_at, back_off: None });
    }

    /// The runtime knows nothing of it. If the API saw it run or end, that was a container of its own.
    fn recover_unseen(&mut self, index: usize, floor: u32, known: Option<&ContainerStatus>, now: Timestamp) {
        let Some(status) = known else { return };
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let id = status.container_id.as_deref().and_then(|id| id.strip_prefix(ID_SCHEME)).map(str::to_owned);
        let member = &mut self.members[index];
        member.previous = last.map(from_api);
        let Some(id) = id else {
            member.created = if last.is_some() { floor + 1 } else { floor };
            return;
        };
        member.created = floor + 1;
        member.id = Some(id.clone());
        if let Some(terminated) = &state.terminated {
            let terminated = from_api(terminated);
            self.recover_exited(index, terminated, now);
        } else if let Some(running) = &state.running {
            let started_at = running.started_at.as_ref().map(|time| time.0);
            self.recover_exited(index, Terminated::unknown(&id, started_at, now), now);
        }
    }

    /// The runtime came back after a break: its listing replaces what was not heard. Only what changed is handled.
    pub fn resync(&mut self, observed: &Observed, now: Timestamp) {
        for container in &observed.containers {
            if let (ContainerState::Exited(exit), Some(_)) = (&container.state, self.find_id(&container.id)) {
                let input =
                    Input::Exited { id: container.id.clone(), exit: exit.clone(), message: container.message.clone() };
                self.handle(input, now);
            }
        }
        let lost = observed.sandbox.as_ref().is_none_or(|sandbox| !sandbox.ready);
        if lost && matches!(self.sandbox, Sandbox::Ready { .. }) {
            self.handle(Input::SandboxLost, now);
        }
    }
}

fn api_statuses(pod: &Pod) -> Vec<ContainerStatus> {
    let Some(status) = &pod.status else { return Vec::new() };
    let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().cloned().collect()
}

fn api_ips(pod: &Pod) -> Vec<std::net::IpAddr> {
    let ips = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    ips.filter_map(|ip| ip.ip.parse().ok()).collect()
}

fn api_id(id: &str) -> String {
    format!("{ID_SCHEME}{id}")
}

fn terminated(container: &ObservedContainer) -> Option<Terminated> {
    match &container.state {
        ContainerState::Exited(exit) => Some(Terminated::from_exit(&container.id, exit, container.message.clone())),
        _ => None,
    }
}

fn from_api(state: &k8s_openapi::api::core::v1::ContainerStateTerminated) -> Terminated {
    let reason = match state.reason.as_deref() {
        Some("Completed") => "Completed",
        Some("OOMKilled") => "OOMKilled",
        Some("StartError") => super::container::START_ERROR,
        Some("ContainerStatusUnknown") => "ContainerStatusUnknown",
        _ => "Error",
    };
    let id = state.container_id.as_deref().and_then(|id| id.strip_prefix(ID_SCHEME)).unwrap_or_default();
    Terminated {
        id: id.to_owned(),
        code: state.exit_code,
        reason,
        message: state.message.clone(),
        started_at: state.started_at.as_ref().map(|time| time.0),
        finished_at: state.finished_at.as_ref().map(|time| time.0),
    }
}
