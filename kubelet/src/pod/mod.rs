//! The pod machine: everything a node decides about one pod, without IO.
//!
//! The driver feeds it inputs and does its effects; time comes in as an argument. State is keyed by the pod's UID: a pod of
//! the same name with another UID is another machine.
//!
//! ```text
//!  volumes -> sandbox -> ephemeral, init containers in order, then containers      (start.rs)
//!      probes, exits, restarts                                                      (run.rs)
//!      any reason to end (deleted, completed, deadline)  -> hooks, SIGTERM, SIGKILL  (stop.rs)
//!      -> last status published -> sandbox and volumes removed -> object deleted      (stop.rs)
//! ```
//! Every input ends in [`PodMachine::advance`], which looks at the state as it is and does whatever is due: a lost or
//! repeated input can delay a step but not leave it out. What is shown to the API is computed from the state (`status.rs`).

mod backoff;
mod conditions;
mod container;
mod io;
pub(crate) mod phase;
mod policy;
mod probe;
mod recover;
mod run;
mod start;
mod status;
mod stop;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};

pub use self::container::ContainerKind;
pub use self::io::*;

pub use self::backoff::after;
pub use self::start::container_id;

use self::backoff::RetryBackoff;
use self::container::Member;
pub use self::container::from_ephemeral;

/// A container of the runtime: its id, and its attempt number.
pub type Instance = (String, u32);

#[derive(Debug)]
pub struct PodMachine {
    pod: Arc<Pod>,
    uid: String,
    facts: NodeFacts,
    /// Init containers in order, then containers, then ephemeral ones.
    members: Vec<Member>,
    volumes: Volumes,
    sandbox: Sandbox,
    /// How long to wait before the next try of the step (volumes or sandbox) that failed.
    setup_backoff: RetryBackoff,
    /// Some container of the pod proper has started in this sandbox: init containers are done with.
    initialized: bool,
    ending: Option<Ending>,
    /// The API object is no more.
    gone: bool,
    /// Stays known after the sandbox is gone, for the status.
    ips: Vec<IpAddr>,
    start_time: Timestamp,
    /// The pod's fate when it was decided by someone other than its containers.
    verdict: Option<Verdict>,
    /// Somebody else has set a terminal phase in the API: it stands, and the pod ends.
    imposed: Option<String>,
    /// The phase was terminal in the API before this kubelet started: nothing is published any more.
    settled: bool,
    published: PodStatus,
    number: u64,
    acknowledged: u64,
    object_deleted: bool,
    finished: bool,
    effects: VecDeque<Effect>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Volumes {
    Unmounted { retry_at: Option<Timestamp> },
    Mounting,
    Mounted,
    Unmounting,
    Removed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sandbox {
    Absent { next: u32, retry_at: Option<Timestamp> },
    Creating { attempt: u32 },
    Ready { attempt: u32 },
    Removing { attempt: u32 },
}

/// The pod is on its way out; nothing is started any more.
#[derive(Clone, Debug)]
struct Ending {
    grace: i64,
    deadline: Timestamp,
}

#[derive(Clone, Debug)]
struct Verdict {
    reason: String,
    message: String,
    /// It was never started here.
    rejected: bool,
}

impl PodMachine {
    pub fn new(pod: Arc<Pod>, facts: NodeFacts, now: Timestamp) -> PodMachine {
        let status = pod.status.clone().unwrap_or_default();
        let start_time = status.start_time.as_ref().map_or(now, |time| time.0);
        let mut machine = PodMachine {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            facts,
            members: Vec::new(),
            volumes: Volumes::Unmounted { retry_at: None },
            sandbox: Sandbox::Absent { next: 0, retry_at: None },
            setup_backoff: RetryBackoff::new(
                std::time::Duration::from_millis(500),
                std::time::Duration::from_secs(122),
            ),
            initialized: false,
            ending: None,
            gone: false,
            ips: Vec::new(),
            start_time,
            verdict: None,
            imposed: None,
            settled: phase::is_terminal(status.phase.as_deref()),
            published: status,
            number: 0,
            acknowledged: 0,
            object_deleted: false,
            finished: false,
            effects: VecDeque::new(),
            pod,
        };
        machine.members = machine.wanted_members();
        machine
    }

    pub fn pod(&self) -> &Arc<Pod> {
        &self.pod
    }

    pub fn status(&self) -> &PodStatus {
        &self.published
    }

    /// Uses node resources: not finished, not rejected, and not yet ended for good.
    pub fn active(&self) -> bool {
        !self.finished && !self.settled && !phase::is_terminal(self.published.phase.as_deref())
    }

    pub fn container_names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(Member::name)
    }

    pub fn container(&self, name: &str) -> Option<&Container> {
        self.members.iter().find(|member| member.name() == name).map(|member| &member.spec)
    }

    /// The address of the pod, once it has one.
    pub fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    /// The name of the container that this id of the runtime belongs to.
    pub fn container_of(&self, id: &str) -> Option<&str> {
        self.find_id(id).map(|index| self.members[index].name())
    }

    /// The newest container of that name and the one before it, as (id, attempt).
    pub fn container_ids(&self, name: &str) -> Option<(Option<Instance>, Option<Instance>)> {
        let member = self.members.iter().find(|member| member.name() == name)?;
        let current = member.id.clone().map(|id| (id.clone(), container::Terminated::attempt(&id)));
        Some((current, member.kept.clone()))
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name() == name && member.running().is_some())
    }

    /// Image references that containers wait for.
    pub fn missing_images(&self) -> impl Iterator<Item = &str> {
        use container::WaitReason::{ErrImageNeverPull, ErrImagePull, ImagePullBackOff};
        let missing = |member: &&Member| match &member.state {
            container::State::Waiting(waiting) => {
                matches!(waiting.reason, Some(ErrImageNeverPull | ErrImagePull | ImagePullBackOff))
            }
            _ => false,
        };
        self.members.iter().filter(missing).map(|member| member.image_name.as_str())
    }

    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Desired(pod) => self.on_desired(pod, now),
            Input::Gone => self.gone = true,
            Input::Timeout => {}
            Input::Retry => self.on_retry(),
            Input::Rejected { reason, message } => self.on_rejected(reason, message, now),
            Input::VolumesMounted(result) => self.on_volumes_mounted(result, now),
            Input::VolumesUnmounted => self.volumes = Volumes::Removed,
            Input::SandboxCreated(result) => self.on_sandbox_created(result, now),
            Input::SandboxRemoved => self.on_sandbox_removed(),
            Input::SandboxLost => self.on_sandbox_lost(now),
            Input::Image { container, result } => self.on_image(&container, result, now),
            Input::Started { id, result } => self.on_started(&id, result, now),
            Input::Exited { id, exit, message } => self.on_exited(&id, &exit, message, now),
            Input::HookDone { id, hook, result } => self.on_hook(&id, hook, result, now),
            Input::ProbeDone { id, probe, outcome } => self.on_probe(&id, probe, outcome, now),
            Input::ContainerRemoved { id } => self.on_container_removed(&id),
            Input::Published(number) => self.acknowledged = self.acknowledged.max(number),
        }
        self.advance(now);
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to send `Input::Timeout`. `None`: only news can change anything.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.finished {
            return None;
        }
        let setup = match (&self.volumes, &self.sandbox) {
            (Volumes::Unmounted { retry_at }, _) => *retry_at,
            (Volumes::Mounted, Sandbox::Absent { retry_at, .. }) if self.needs_sandbox() => *retry_at,
            _ => None,
        };
        let setup = setup.filter(|_| self.ending.is_none());
        let startable = self.startable_now();
        let members = self.members.iter().enumerate();
        let members = members.filter_map(|(index, member)| self.member_timeout(member, startable.contains(&index)));
        members.chain(setup).chain(self.deadline().filter(|_| self.ending.is_none())).min()
    }

    /// Does what is due. Called after every change.
    fn advance(&mut self, now: Timestamp) {
        if self.finished {
            return;
        }
        self.check_endings(now);
        match self.ending {
            Some(_) => self.advance_stop(now),
            None => self.advance_start(now),
        }
        self.advance_stopping_members(now);
        self.advance_probes(now);
        // A container that ended for good, or did not start, may have completed the pod.
        self.check_endings(now);
        self.publish(now);
        self.clean_up();
    }

    fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&EMPTY)
    }

    /// The end of activeDeadlineSeconds.
    fn deadline(&self) -> Option<Timestamp> {
        self.spec().active_deadline_seconds.map(|seconds| after(self.start_time, seconds))
    }

    fn wanted_members(&self) -> Vec<Member> {
        let spec = self.spec();
        let init = spec.init_containers.iter().flatten().map(|container| (init_kind(container), container.clone()));
        let apps = spec.containers.iter().map(|container| (ContainerKind::App, container.clone()));
        let ephemeral = spec.ephemeral_containers.iter().flatten();
        let ephemeral = ephemeral.map(|container| (ContainerKind::Ephemeral, from_ephemeral(container)));
        init.chain(apps).chain(ephemeral).map(|(kind, container)| Member::new(kind, container)).collect()
    }

    /// Takes over a changed spec: new ephemeral containers, changed images (which restart their containers), a deletion.
    fn on_desired(&mut self, pod: Arc<Pod>, now: Timestamp) {
        let in_api = pod.status.as_ref().and_then(|status| status.phase.clone());
        if phase::is_terminal(in_api.as_deref()) && !phase::is_terminal(self.published.phase.as_deref()) {
            self.imposed = in_api;
        }
        self.pod = pod;
        for wanted in self.wanted_members() {
            match self.members.iter().position(|member| member.name() == wanted.name()) {
                None => self.members.push(wanted),
                Some(index) => {
                    let member = &mut self.members[index];
                    member.spec = wanted.spec;
                    let changed = member.spec.image.as_deref().unwrap_or_default() != member.image_name;
                    if changed && member.running().is_some_and(|running| running.stop.is_none()) {
                        let message = format!("Container {} definition changed, will be restarted", member.name());
                        let grace = self.grace();
                        self.begin_stop(index, message, after(now, grace), true, now);
                    } else if changed && !member.live() {
                        // Whatever the old image was waiting for is moot.
                        member.image_name = member.spec.image.clone().unwrap_or_default();
                        if let container::State::Waiting(waiting) = &mut member.state {
                            waiting.retry_at = None;
                            member.pull.reset();
                            member.pull_failed = false;
                        }
                    }
                }
            }
        }
    }

    fn on_retry(&mut self) {
        if let Volumes::Unmounted { retry_at } = &mut self.volumes {
            *retry_at = None;
        }
        for member in &mut self.members {
            if let container::State::Waiting(waiting) = &mut member.state {
                waiting.retry_at = None;
            }
        }
    }

    fn on_rejected(&mut self, reason: String, message: String, now: Timestamp) {
        self.event(true, reason.clone(), message.clone(), None);
        self.verdict = Some(Verdict { reason, message: format!("Pod was rejected: {message}"), rejected: true });
        self.volumes = Volumes::Removed;
        self.ending = Some(Ending { grace: 0, deadline: now });
    }

    fn event(&mut self, warning: bool, reason: impl Into<Cow<'static, str>>, message: String, member: Option<usize>) {
        let reason = reason.into();
        let field_path = member.map(|index| self.members[index].field_path());
        self.effects.push_back(Effect::Event(PodEvent { warning, reason, message, field_path }));
    }

    fn find_id(&self, id: &str) -> Option<usize> {
        self.members.iter().position(|member| match &member.state {
            container::State::Starting { id: own, .. } => own == id,
            container::State::Running(running) => running.id == id,
            _ => false,
        })
    }

    /// As log lines and messages of upstream name a pod.
    fn display_name(&self) -> String {
        let metadata = &self.pod.metadata;
        let name = metadata.name.as_deref().unwrap_or_default();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        format!("{name}_{namespace}({})", self.uid)
    }
}

fn init_kind(container: &Container) -> ContainerKind {
    match container.restart_policy.as_deref() {
        Some("Always") => ContainerKind::Sidecar,
        _ => ContainerKind::Init,
    }
}
