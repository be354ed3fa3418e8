//! A container's life after its start: probes, and its end.

use jiff::Timestamp;
use runtime::spec::Exit;

use super::container::{ContainerKind, Exited, Member, State, Terminated};
use super::probe::Probes;
use super::{Effect, PodMachine, ProbeKind, ProbeOutcome, after, policy};

impl PodMachine {
    pub(super) fn on_exited(&mut self, id: &str, exit: &Exit, message: Option<String>, now: Timestamp) {
        let Some(index) = self.find_id(id) else { return };
        let terminated = match self.members[index].running() {
            // It ran, and its end was not seen: the launcher was lost.
            Some(running) if exit.start_error.is_some() => Terminated::unknown(id, Some(running.started_at), now),
            _ => Terminated::from_exit(id, exit, message),
        };
        if let State::Starting { .. } = &self.members[index].state {
            // The exit overtook the answer to the start.
            self.count_created(index, id);
            self.event(false, "Created", "Container created".to_owned(), Some(index));
            match &terminated.message {
                Some(message) if terminated.start_failed() => {
                    self.event(true, "Failed", format!("Error: {message}"), Some(index));
                }
                _ => self.event(false, "Started", "Container started".to_owned(), Some(index)),
            }
            if self.members[index].kind == ContainerKind::App {
                self.initialized = true;
            }
        }
        let wanted =
            self.members[index].running().and_then(|running| running.stop.as_ref()).is_some_and(|stop| stop.restart);
        self.ended(index, terminated, wanted, now);
    }

    /// `wanted`: we ended it to start it again.
    pub(super) fn ended(&mut self, index: usize, terminated: Terminated, wanted: bool, now: Timestamp) {
        let pod = self.pod.clone();
        let ending = self.ending.is_some();
        let member = &mut self.members[index];
        let restarts = policy::restarts(member.kind, &member.spec, &pod, terminated.code);
        let restart_at = match (ending, wanted, restarts) {
            (true, _, _) | (false, false, false) => None,
            (false, true, _) => Some(now),
            (false, false, true) => Some(member.crash.restart_at(terminated.finished_at.unwrap_or(now))),
        };
        let back_off = restart_at.filter(|at| *at > now).map(|_| member.crash.delay());
        member.probes = Probes::default();
        member.id = Some(terminated.id.clone());
        member.state = State::Exited(Exited { terminated, restart_at, back_off });
        if back_off.is_some() {
            let name = self.members[index].name();
            let message = format!("Back-off restarting failed container {name} in pod {}", self.display_name());
            self.event(true, "BackOff", message, Some(index));
        }
    }

    pub(super) fn advance_probes(&mut self, now: Timestamp) {
        for member in &mut self.members {
            let Some(running) = member.running() else { continue };
            if running.hook_pending {
                continue;
            }
            let id = running.id.clone();
            for probe in member.probes.take_due(now) {
                let (container, first) = (member.name().to_owned(), member.probes.is_first(probe));
                self.effects.push_back(Effect::Probe { container, id: id.clone(), probe, first });
            }
        }
    }

    pub(super) fn on_probe(&mut self, id: &str, probe: ProbeKind, outcome: ProbeOutcome, now: Timestamp) {
        let Some(index) = self.find_id(id) else { return };
        let title = probe.title();
        match &outcome {
            ProbeOutcome::Success => {}
            ProbeOutcome::Warning(text) => {
                self.event(true, "ProbeWarning", format!("{title} probe warning: {text}"), Some(index));
            }
            ProbeOutcome::Failure(text) => {
                self.event(true, "Unhealthy", format!("{title} probe failed: {text}"), Some(index));
            }
            ProbeOutcome::Error(text) => {
                let message = format!("{title} probe errored and resulted in unknown state: {text}");
                self.event(true, "Unhealthy", message, Some(index));
            }
        }
        let verdict = self.members[index].probes.record(probe, &outcome, now);
        let stopping = self.members[index].running().is_some_and(|running| running.stop.is_some());
        if verdict == Some(false) && probe != ProbeKind::Readiness && !stopping {
            let member = &self.members[index];
            let message =
                format!("Container {} failed {} probe, will be restarted", member.name(), title.to_lowercase());
            let grace = probe_grace(member, probe).unwrap_or_else(|| self.grace());
            self.begin_stop(index, message, after(now, grace), false, now);
        }
    }
}

fn probe_grace(member: &Member, probe: ProbeKind) -> Option<i64> {
    let probe = match probe {
        ProbeKind::Startup => member.spec.startup_probe.as_ref(),
        ProbeKind::Liveness => member.spec.liveness_probe.as_ref(),
        ProbeKind::Readiness => None,
    };
    probe.and_then(|probe| probe.termination_grace_period_seconds)
}
