//! Ending: why a pod ends, how its containers are stopped, and what is cleaned away afterwards.

use std::time::Duration;

use jiff::Timestamp;

use super::backoff::later;
use super::container::{ContainerKind, Member, State, Stop, StopPhase, Waiting};
use super::probe::Probes;
use super::{Effect, Ending, Hook, PodMachine, Sandbox, Verdict, Volumes, after};

/// A container gets at least this long between SIGTERM and SIGKILL, whatever its hook has used up.
const SHORTEST_STOP: Duration = Duration::from_secs(2);
const DEFAULT_GRACE: i64 = 30;

impl PodMachine {
    /// Seconds that the spec grants its containers.
    pub(super) fn grace(&self) -> i64 {
        self.spec().termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE)
    }

    pub(super) fn deleted(&self) -> bool {
        self.gone || self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Starts the pod's end, or shortens it; never lengthens it.
    fn end(&mut self, grace: i64, now: Timestamp) {
        let deadline = after(now, grace);
        match &mut self.ending {
            None => self.ending = Some(Ending { grace, deadline }),
            Some(ending) if grace < ending.grace => {
                ending.grace = grace;
                ending.deadline = ending.deadline.min(deadline);
            }
            Some(_) => {}
        }
    }

    pub(super) fn check_endings(&mut self, now: Timestamp) {
        if self.deleted() {
            let grace = self.pod.metadata.deletion_grace_period_seconds.unwrap_or_else(|| self.grace());
            self.end(grace, now);
        }
        if self.ending.is_some() {
            return;
        }
        if self.settled || self.imposed.is_some() || self.completed() {
            self.end(self.grace(), now);
        } else if self.deadline().is_some_and(|deadline| deadline <= now) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.event(false, "DeadlineExceeded", message.clone(), None);
            self.verdict = Some(Verdict { reason: "DeadlineExceeded".to_owned(), message, rejected: false });
            self.end(self.grace(), now);
        }
    }

    /// Nothing of the pod proper will run again: an init container failed for good, or all containers have ended for good.
    fn completed(&self) -> bool {
        let over = |member: &Member| member.exited().is_some_and(|exited| exited.restart_at.is_none());
        let failed_init = |member: &Member| member.kind == ContainerKind::Init && over(member) && !member.ready();
        let mut apps = self.members.iter().filter(|member| member.kind == ContainerKind::App).peekable();
        self.members.iter().any(failed_init) || (apps.peek().is_some() && apps.all(over))
    }

    /// Asks every running container to stop.
    pub(super) fn advance_stop(&mut self, now: Timestamp) {
        let Some(deadline) = self.ending.as_ref().map(|ending| ending.deadline) else { return };
        for index in 0..self.members.len() {
            match &mut self.members[index].state {
                State::Running(running) => match &mut running.stop {
                    Some(stop) if deadline < stop.deadline => {
                        stop.deadline = deadline;
                        if let StopPhase::Signalled { kill_at } = &mut stop.phase {
                            *kill_at = (*kill_at).min(deadline.max(now));
                        }
                    }
                    Some(_) => {}
                    None => {
                        let message = format!("Stopping container {}", self.members[index].name());
                        self.begin_stop(index, message, deadline, false, now);
                    }
                },
                // It will not be restarted.
                State::Exited(exited) => {
                    exited.restart_at = None;
                    exited.back_off = None;
                }
                State::Waiting(waiting) => waiting.retry_at = None,
                _ => {}
            }
        }
    }

    pub(super) fn begin_stop(
        &mut self,
        index: usize,
        message: String,
        deadline: Timestamp,
        restart: bool,
        now: Timestamp,
    ) {
        self.event(false, "Killing", message, Some(index));
        let member = &mut self.members[index];
        let hook = member.spec.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
        let name = member.name().to_owned();
        member.probes.stopping();
        let Some(running) = member.running_mut() else { return };
        let phase = if hook && deadline > now { StopPhase::PreStop } else { StopPhase::Turn };
        running.stop = Some(Stop { deadline, phase, restart });
        if phase == StopPhase::PreStop {
            let timeout = deadline.duration_since(now).try_into().ok();
            let id = running.id.clone();
            self.effects.push_back(Effect::RunHook { container: name, id, hook: Hook::PreStop, timeout });
        }
    }

    /// Moves each stopping container to its next phase when its time or turn has come.
    pub(super) fn advance_stopping_members(&mut self, now: Timestamp) {
        for index in 0..self.members.len() {
            let its_turn = self.its_turn(index);
            let signal = self.stop_signal(index);
            let Some(running) = self.members[index].running_mut() else { continue };
            let Some(stop) = &mut running.stop else { continue };
            if stop.phase == StopPhase::PreStop && stop.deadline <= now {
                stop.phase = StopPhase::Turn;
            }
            if stop.phase == StopPhase::Turn && (its_turn || stop.deadline <= now) {
                let kill_at = stop.deadline.max(later(now, SHORTEST_STOP));
                stop.phase = StopPhase::Signalled { kill_at };
                self.effects.push_back(Effect::Signal { id: running.id.clone(), signal });
            } else if matches!(stop.phase, StopPhase::Signalled { kill_at } if kill_at <= now) {
                stop.phase = StopPhase::Killed;
                self.effects.push_back(Effect::Kill { id: running.id.clone() });
            }
        }
    }

    /// When a pod ends, a sidecar outlives the containers and the sidecars that started after it.
    fn its_turn(&self, index: usize) -> bool {
        if self.ending.is_none() || self.members[index].kind != ContainerKind::Sidecar {
            return true;
        }
        let dependent = |(other, member): (usize, &Member)| {
            member.live()
                && (member.kind == ContainerKind::App || (member.kind == ContainerKind::Sidecar && other > index))
        };
        !self.members.iter().enumerate().any(dependent)
    }

    fn stop_signal(&self, index: usize) -> i32 {
        const SIGTERM: i32 = 15;
        let member = &self.members[index];
        let of_image = member.image.as_ref().map(|image| image.stop_signal).filter(|signal| *signal > 0);
        let of_spec = member.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
        of_spec.and_then(crate::launch::signals::number).or(of_image).unwrap_or(SIGTERM)
    }

    pub(super) fn on_hook(&mut self, id: &str, hook: Hook, result: Result<(), String>, now: Timestamp) {
        let Some(index) = self.find_id(id) else { return };
        let grace = self.grace();
        let member = &mut self.members[index];
        let spec = member.spec.clone();
        let Some(running) = member.running_mut() else { return };
        match hook {
            Hook::PreStop => {
                if let Some(stop) = running.stop.as_mut().filter(|stop| stop.phase == StopPhase::PreStop) {
                    stop.phase = StopPhase::Turn;
                }
                if result.is_err() {
                    // What went wrong stays out of the event: it may hold secrets.
                    self.event(true, "FailedPreStopHook", "PreStopHook failed".to_owned(), Some(index));
                }
            }
            Hook::PostStart if running.stop.is_some() => running.hook_pending = false,
            // It stays pending: the container never counts as started.
            Hook::PostStart if result.is_err() => {
                self.event(true, "FailedPostStartHook", "PostStartHook failed".to_owned(), Some(index));
                self.begin_stop(index, "FailedPostStartHook".to_owned(), after(now, grace), false, now);
            }
            Hook::PostStart => {
                running.hook_pending = false;
                let started_at = running.started_at;
                member.probes = Probes::start(&spec, started_at);
            }
        }
    }

    /// After the last container has ended: sandbox and volumes go, then the object.
    pub(super) fn clean_up(&mut self) {
        if self.ending.is_none() || self.members.iter().any(Member::live) {
            return;
        }
        // A completed pod keeps its dead containers until the API knows how they ended: after a crash of ours they still tell.
        let told = self.gone || self.settled || self.acknowledged >= self.number;
        if !self.deleted() && !told {
            return;
        }
        match self.sandbox {
            Sandbox::Ready { attempt } => {
                self.sandbox = Sandbox::Removing { attempt };
                self.effects.push_back(Effect::RemoveSandbox { attempt });
            }
            Sandbox::Absent { .. }
                if !matches!(self.volumes, Volumes::Unmounting | Volumes::Removed | Volumes::Mounting) =>
            {
                self.volumes = Volumes::Unmounting;
                self.effects.push_back(Effect::UnmountVolumes);
            }
            _ => {}
        }
        let clean = matches!(self.sandbox, Sandbox::Absent { .. }) && self.volumes == Volumes::Removed;
        if !clean || !self.deleted() {
            return;
        }
        if self.gone {
            self.finished = true;
            self.effects.push_back(Effect::Finished);
        } else if told && !self.object_deleted {
            self.object_deleted = true;
            self.effects.push_back(Effect::DeleteObject);
        }
    }

    pub(super) fn on_sandbox_removed(&mut self) {
        if let Sandbox::Removing { attempt } = self.sandbox {
            self.sandbox = Sandbox::Absent { next: attempt + 1, retry_at: None };
        }
    }

    pub(super) fn member_timeout(&self, member: &Member, may_start: bool) -> Option<Timestamp> {
        match &member.state {
            // The time to start only counts when nothing else holds the start back: its news will come then.
            State::Waiting(Waiting { retry_at, .. }) => retry_at.filter(|_| may_start),
            State::Exited(exited) => exited.restart_at.filter(|_| may_start),
            State::Running(running) => {
                let stop = running.stop.as_ref().and_then(|stop| match stop.phase {
                    StopPhase::PreStop | StopPhase::Turn => Some(stop.deadline),
                    StopPhase::Signalled { kill_at } => Some(kill_at),
                    StopPhase::Killed => None,
                });
                let probe = member.probes.next_due().filter(|_| !running.hook_pending);
                stop.into_iter().chain(probe).min()
            }
            _ => None,
        }
    }

    /// All is stopped and the object is to go: what is still unknown about containers is settled as failed.
    pub(super) fn over(&self) -> bool {
        self.deleted() && self.ending.is_some() && !self.members.iter().any(Member::live)
    }
}
