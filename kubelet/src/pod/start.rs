//! Starting: volumes, then the sandbox, then containers, one after another.
//!
//! At most one container of a pod is being started at a time, its postStart hook included: upstream starts them in a loop,
//! and pods rely on a hook holding back the next container.

use std::net::IpAddr;

use jiff::Timestamp;
use runtime::spec::Exit;

use super::backoff::{INITIAL, later};
use super::container::{Before, ContainerKind, Exited, Running, State, Terminated, WaitReason, Waiting};
use super::probe::Probes;
use super::{Effect, Hook, ImageFailure, ImageRef, Member, PodMachine, Sandbox, StartFailure, Volumes};

fn due(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_none_or(|at| at <= now)
}

impl PodMachine {
    pub(super) fn advance_start(&mut self, now: Timestamp) {
        if self.settled {
            return;
        }
        if matches!(self.volumes, Volumes::Unmounted { retry_at } if due(retry_at, now)) {
            self.volumes = Volumes::Mounting;
            self.effects.push_back(Effect::MountVolumes);
        }
        if self.volumes != Volumes::Mounted {
            return;
        }
        if let Sandbox::Absent { next, retry_at } = self.sandbox
            && due(retry_at, now)
            && self.needs_sandbox()
        {
            self.sandbox = Sandbox::Creating { attempt: next };
            self.effects.push_back(Effect::CreateSandbox { attempt: next });
        }
        if matches!(self.sandbox, Sandbox::Ready { .. }) {
            self.start_containers(now);
        }
    }

    /// Something is still to run: a pod whose containers have all ended for good gets no new sandbox.
    pub(super) fn needs_sandbox(&self) -> bool {
        let ended = |member: &Member| member.exited().is_some_and(|exited| exited.restart_at.is_none());
        self.members.iter().any(|member| member.kind == ContainerKind::App && !ended(member))
    }

    fn start_containers(&mut self, now: Timestamp) {
        for index in self.startable() {
            if self.members.iter().any(Member::busy) {
                return;
            }
            self.begin_start(index, now);
        }
    }

    /// Those whose turn it is, whether or not their time has come.
    fn startable(&self) -> Vec<usize> {
        let of_kind = |kinds: &'static [ContainerKind]| {
            self.members.iter().enumerate().filter(move |(_, member)| kinds.contains(&member.kind))
        };
        let mut out: Vec<usize> = of_kind(&[ContainerKind::Ephemeral]).map(|(index, _)| index).collect();
        for (index, member) in of_kind(&[ContainerKind::Init, ContainerKind::Sidecar]) {
            let done = match member.kind {
                ContainerKind::Sidecar => member.started(),
                _ => member.ready(),
            };
            let skip = self.initialized && member.kind == ContainerKind::Init;
            if !done && !skip {
                out.push(index);
                if !self.initialized {
                    return out;
                }
            }
        }
        out.extend(of_kind(&[ContainerKind::App]).map(|(index, _)| index));
        out
    }

    /// Those that only their time holds back.
    pub(super) fn startable_now(&self) -> Vec<usize> {
        let ready = self.ending.is_none() && matches!(self.sandbox, Sandbox::Ready { .. });
        match ready && self.volumes == Volumes::Mounted && !self.members.iter().any(Member::busy) {
            true => self.startable(),
            false => Vec::new(),
        }
    }

    fn begin_start(&mut self, index: usize, now: Timestamp) {
        let member = &mut self.members[index];
        let before = match &member.state {
            State::Waiting(waiting) if due(waiting.retry_at, now) => Before::Waiting(waiting.clone()),
            State::Exited(exited) if exited.restart_at.is_some_and(|at| at <= now) => Before::Exited(exited.clone()),
            _ => return,
        };
        member.image_name = member.spec.image.clone().unwrap_or_default();
        member.state = State::Pulling { before };
        self.effects.push_back(Effect::EnsureImage { container: member.name().to_owned() });
    }

    pub(super) fn on_volumes_mounted(&mut self, result: Result<(), String>, now: Timestamp) {
        if self.volumes != Volumes::Mounting {
            return;
        }
        match result {
            Ok(()) => {
                self.volumes = Volumes::Mounted;
                self.setup_backoff.reset();
            }
            Err(message) => {
                self.volumes = Volumes::Unmounted { retry_at: Some(later(now, self.setup_backoff.fail())) };
                self.event(true, "FailedMount", message, None);
            }
        }
    }

    pub(super) fn on_sandbox_created(&mut self, result: Result<Vec<IpAddr>, String>, now: Timestamp) {
        let Sandbox::Creating { attempt } = self.sandbox else { return };
        match result {
            Ok(ips) => {
                self.ips = ips;
                self.sandbox = Sandbox::Ready { attempt };
                self.setup_backoff.reset();
            }
            Err(message) => {
                let retry_at = Some(later(now, self.setup_backoff.fail()));
                self.sandbox = Sandbox::Absent { next: attempt + 1, retry_at };
                self.event(true, "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {message}"), None);
            }
        }
    }

    /// Everything in it died unseen. Containers that may restart will, in a new sandbox, after their init containers.
    pub(super) fn on_sandbox_lost(&mut self, now: Timestamp) {
        let Sandbox::Ready { attempt } = self.sandbox else { return };
        for index in 0..self.members.len() {
            let (id, started_at) = match &self.members[index].state {
                State::Running(running) => (running.id.clone(), Some(running.started_at)),
                State::Starting { id, .. } => (id.clone(), None),
                _ => continue,
            };
            self.ended(index, Terminated::unknown(&id, started_at, now), false, now);
        }
        if self.ending.is_none() && self.needs_sandbox() {
            self.rerun_init();
            self.event(
                false,
                "SandboxChanged",
                "Pod sandbox changed, it will be killed and re-created.".to_owned(),
                None,
            );
        }
        self.sandbox = Sandbox::Removing { attempt };
        self.effects.push_back(Effect::RemoveSandbox { attempt });
    }

    pub(super) fn rerun_init(&mut self) {
        self.initialized = false;
        for member in self.members.iter_mut().filter(|member| member.kind == ContainerKind::Init) {
            if let State::Exited(exited) = &member.state
                && (exited.restart_at.is_some() || exited.terminated.code == 0)
            {
                member.previous = Some(exited.terminated.clone());
                member.state = State::Waiting(Waiting::default());
            }
        }
    }

    pub(super) fn on_image(&mut self, container: &str, result: Result<ImageRef, ImageFailure>, now: Timestamp) {
        let Some(index) = self.members.iter().position(|member| member.name() == container) else { return };
        let State::Pulling { before } = &self.members[index].state else { return };
        let before = before.clone();
        if self.ending.is_some() || !matches!(self.sandbox, Sandbox::Ready { .. }) {
            self.members[index].state = before.restore();
            return;
        }
        match result {
            Ok(image) => self.create_container(index, image, before, now),
            Err(failure) => self.image_failed(index, failure, before.exited(), now),
        }
    }

    fn create_container(&mut self, index: usize, image: ImageRef, before: Before, now: Timestamp) {
        let name = self.members[index].image_name.clone();
        let message = format!("Container image {name:?} already present on machine and can be accessed by the pod");
        self.event(false, "Pulled", message, Some(index));
        let member = &mut self.members[index];
        let attempt = member.created;
        let id = container_id(&self.uid, member.name(), attempt);
        if matches!(before, Before::Exited(_)) {
            member.crash.restarted(now);
        }
        member.pull.reset();
        member.pull_failed = false;
        member.state = State::Starting { id: id.clone(), image: image.clone(), before };
        let container = member.name().to_owned();
        self.effects.push_back(Effect::StartContainer { container, id, attempt, image });
    }

    fn image_failed(&mut self, index: usize, failure: ImageFailure, after: Option<Exited>, now: Timestamp) {
        let member = &mut self.members[index];
        let name = member.image_name.clone();
        let again = member.pull_failed;
        let delay = member.pull.fail();
        let (reason, message, event) = match failure {
            ImageFailure::NeverPull(message) => {
                (WaitReason::ErrImageNeverPull, message.clone(), ("ErrImageNeverPull", message))
            }
            ImageFailure::InvalidName(message) => {
                (WaitReason::InvalidImageName, message.clone(), ("InspectFailed", message))
            }
            ImageFailure::Pull(message) if again => {
                let text = format!("Back-off pulling image {name:?}");
                (WaitReason::ImagePullBackOff, format!("{text}: ErrImagePull: {message}"), ("BackOff", text))
            }
            ImageFailure::Pull(message) => (
                WaitReason::ErrImagePull,
                message.clone(),
                ("Failed", format!("Failed to pull image {name:?}: {message}")),
            ),
        };
        member.pull_failed = true;
        if let Some(exited) = after {
            member.previous = Some(exited.terminated);
        }
        member.state = State::Waiting(Waiting { reason: Some(reason), message, retry_at: Some(later(now, delay)) });
        self.event(event.0 != "BackOff", event.0, event.1, Some(index));
        self.event(true, "Failed", format!("Error: {}", reason.as_str()), Some(index));
    }

    pub(super) fn on_started(&mut self, id: &str, result: Result<Timestamp, StartFailure>, now: Timestamp) {
        let Some(index) = self.find_id(id) else { return };
        let State::Starting { before, .. } = &self.members[index].state else { return };
        let before = before.clone();
        match result {
            Ok(started_at) => self.started(index, id, started_at),
            Err(StartFailure::Config(message)) => {
                self.not_created(index, WaitReason::CreateContainerConfigError, message, before.exited(), now);
            }
            Err(StartFailure::Create(message)) => {
                self.not_created(index, WaitReason::CreateContainerError, message, before.exited(), now);
            }
            Err(StartFailure::Run(message)) => {
                let nanoseconds = i64::try_from(now.as_nanosecond()).unwrap_or(0);
                let exit = Exit {
                    code: 128,
                    signal: None,
                    oom_killed: false,
                    started_at_ns: 0,
                    finished_at_ns: nanoseconds,
                    start_error: Some(message),
                };
                self.on_exited(id, &exit, None, now);
            }
        }
    }

    /// The runtime has made the container: it takes its attempt number, and the one before it becomes `lastState`.
    pub(super) fn count_created(&mut self, index: usize, id: &str) {
        let member = &mut self.members[index];
        let State::Starting { image, before, .. } = &member.state else { return };
        let after = before.clone().exited();
        member.image = Some(image.clone());
        member.created += 1;
        let dead = match &member.id {
            Some(previous) => member.kept.replace((previous.clone(), Terminated::attempt(previous))),
            None => None,
        };
        member.id = Some(id.to_owned());
        if let Some(exited) = after {
            member.previous = Some(exited.terminated);
        }
        if let Some((id, attempt)) = dead {
            let container = member.name().to_owned();
            self.effects.push_back(Effect::RemoveContainer { container, id, attempt });
        }
    }

    fn started(&mut self, index: usize, id: &str, started_at: Timestamp) {
        self.count_created(index, id);
        self.event(false, "Created", "Container created".to_owned(), Some(index));
        self.event(false, "Started", "Container started".to_owned(), Some(index));
        let member = &mut self.members[index];
        let hook = member.spec.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some());
        member.state = State::Running(Running { id: id.to_owned(), started_at, hook_pending: hook, stop: None });
        if hook {
            // It holds the probes back too.
            member.probes = Probes::default();
            let container = member.name().to_owned();
            self.effects.push_back(Effect::RunHook {
                container,
                id: id.to_owned(),
                hook: Hook::PostStart,
                timeout: None,
            });
        } else {
            member.probes = Probes::start(&member.spec, started_at);
        }
        if member.kind == ContainerKind::App {
            self.initialized = true;
        }
    }

    fn not_created(
        &mut self,
        index: usize,
        reason: WaitReason,
        message: String,
        after: Option<Exited>,
        now: Timestamp,
    ) {
        let member = &mut self.members[index];
        if let Some(exited) = after {
            member.previous = Some(exited.terminated);
        }
        let waiting = Waiting { reason: Some(reason), message: message.clone(), retry_at: Some(later(now, INITIAL)) };
        member.state = State::Waiting(waiting);
        self.event(true, "Failed", format!("Error: {message}"), Some(index));
    }

    pub(super) fn on_container_removed(&mut self, id: &str) {
        let (uid, members) = (&self.uid, &mut self.members);
        for member in members.iter_mut().filter(|member| matches!(member.state, State::Discarding)) {
            if container_id(uid, member.name(), member.created) == id {
                member.state = State::Waiting(Waiting::default());
            }
        }
    }
}

/// Unique on the node, at most 63 bytes of `[a-z0-9-]` with any container name: the name goes in as a hash (FNV-1a), which is
/// enough within one pod.
pub fn container_id(uid: &str, container: &str, attempt: u32) -> String {
    let hash = container
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{uid}-{hash:016x}-{attempt}")
}
