//! One container of a pod, over all its restarts.
//!
//! ```text
//!             +--------------- restart is due ----------------+
//!             v                                               |
//! Waiting -> Pulling -> Starting -> Running -> (Stop) -> Exited
//!    ^          |           |
//!    +- failed -+-----------+   (Waiting with a reason and a time to try again)
//! ```
//! A container made by the runtime is never reused: each start has its own attempt number and id.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer};
use runtime::spec::Exit;

use super::backoff::{CrashBackoff, RetryBackoff};
use super::io::ImageRef;
use super::probe::Probes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    Init,
    /// An init container with restartPolicy Always.
    Sidecar,
    App,
    Ephemeral,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub kind: ContainerKind,
    pub spec: Container,
    pub state: State,
    /// How many containers the runtime has made of it: the attempt number of the next one.
    pub created: u32,
    /// How the one before the current ended (`lastState`).
    pub previous: Option<Terminated>,
    /// Of the newest container, for the status.
    pub id: Option<String>,
    pub image: Option<ImageRef>,
    /// Image reference in the spec that the newest container was made from.
    pub image_name: String,
    pub crash: CrashBackoff,
    pub pull: RetryBackoff,
    /// The last look for the image failed: the next failure counts as back-off.
    pub pull_failed: bool,
    pub probes: Probes,
    /// A newest-but-one container that the runtime still keeps, for `logs --previous`.
    pub kept: Option<(String, u32)>,
}

#[derive(Clone, Debug)]
pub enum State {
    Waiting(Waiting),
    /// The image is looked for.
    Pulling {
        before: Before,
    },
    Starting {
        id: String,
        image: ImageRef,
        before: Before,
    },
    Running(Running),
    Exited(Exited),
    /// A half-made container found at recovery is being removed.
    Discarding,
}

/// What a container that is being started was before; it is shown until it runs.
#[derive(Clone, Debug)]
pub enum Before {
    Waiting(Waiting),
    Exited(Exited),
}

impl Before {
    pub fn exited(self) -> Option<Exited> {
        match self {
            Before::Exited(exited) => Some(exited),
            Before::Waiting(_) => None,
        }
    }

    pub fn restore(self) -> State {
        match self {
            Before::Exited(exited) => State::Exited(exited),
            Before::Waiting(waiting) => State::Waiting(waiting),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// `None`: its turn has not come.
    pub reason: Option<WaitReason>,
    pub message: String,
    /// `None`: may start as soon as it is its turn.
    pub retry_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    ErrImagePull,
    ImagePullBackOff,
    ErrImageNeverPull,
    InvalidImageName,
    CreateContainerConfigError,
    CreateContainerError,
}

impl WaitReason {
    pub fn as_str(self) -> &'static str {
        match self {
            WaitReason::ErrImagePull => "ErrImagePull",
            WaitReason::ImagePullBackOff => "ImagePullBackOff",
            WaitReason::ErrImageNeverPull => "ErrImageNeverPull",
            WaitReason::InvalidImageName => "InvalidImageName",
            WaitReason::CreateContainerConfigError => "CreateContainerConfigError",
            WaitReason::CreateContainerError => "CreateContainerError",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Running {
    pub id: String,
    pub started_at: Timestamp,
    /// The postStart hook has not come back: the container counts as starting.
    pub hook_pending: bool,
    pub stop: Option<Stop>,
}

/// A running container on its way out.
#[derive(Clone, Debug)]
pub struct Stop {
    /// preStop, waiting for its turn and SIGTERM share it.
    pub deadline: Timestamp,
    pub phase: StopPhase,
    /// It starts again afterwards whatever the restart policy says (its image changed).
    pub restart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPhase {
    PreStop,
    /// A sidecar waits for those that depend on it.
    Turn,
    Signalled {
        kill_at: Timestamp,
    },
    Killed,
}

#[derive(Clone, Debug)]
pub struct Exited {
    pub terminated: Terminated,
    /// `None`: it stays ended.
    pub restart_at: Option<Timestamp>,
    /// It has to wait for its restart, so long.
    pub back_off: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminated {
    pub id: String,
    pub code: i32,
    pub reason: &'static str,
    pub message: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

/// The process never ran.
pub const START_ERROR: &str = "StartError";

impl Terminated {
    pub fn from_exit(id: &str, exit: &Exit, message: Option<String>) -> Terminated {
        let reason = match exit {
            Exit { start_error: Some(_), .. } => START_ERROR,
            Exit { oom_killed: true, .. } => "OOMKilled",
            Exit { code: 0, .. } => "Completed",
            _ => "Error",
        };
        let message = exit.start_error.clone().or(message).filter(|message| !message.is_empty());
        Terminated {
            id: id.to_owned(),
            // What containerd answers for a process that never ran, whatever kept it from running.
            code: if exit.start_error.is_some() { 128 } else { exit.code },
            reason,
            message,
            started_at: from_nanoseconds(exit.started_at_ns),
            finished_at: from_nanoseconds(exit.finished_at_ns),
        }
    }

    /// It was running and is gone, and nobody saw how it ended.
    pub fn unknown(id: &str, started_at: Option<Timestamp>, now: Timestamp) -> Terminated {
        Terminated {
            id: id.to_owned(),
            code: 137,
            reason: "ContainerStatusUnknown",
            message: Some("The container could not be located when the pod was terminated".to_owned()),
            started_at,
            finished_at: Some(now),
        }
    }

    /// The attempt number in the id of the runtime's container.
    pub fn attempt(id: &str) -> u32 {
        id.rsplit('-').next().and_then(|attempt| attempt.parse().ok()).unwrap_or(0)
    }

    pub fn start_failed(&self) -> bool {
        self.reason == START_ERROR
    }
}

pub fn from_nanoseconds(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds > 0).then(|| Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()).flatten()
}

impl Member {
    pub fn new(kind: ContainerKind, spec: Container) -> Member {
        Member {
            kind,
            image_name: spec.image.clone().unwrap_or_default(),
            spec,
            state: State::Waiting(Waiting::default()),
            created: 0,
            previous: None,
            id: None,
            image: None,
            crash: CrashBackoff::default(),
            pull: RetryBackoff::new(super::backoff::INITIAL, super::backoff::LONGEST),
            pull_failed: false,
            probes: Probes::default(),
            kept: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    pub fn restart_count(&self) -> u32 {
        self.created.saturating_sub(1)
    }

    pub fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    pub fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.state {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    pub fn exited(&self) -> Option<&Exited> {
        match &self.state {
            State::Exited(exited) => Some(exited),
            _ => None,
        }
    }

    /// It does not run, but will.
    pub fn to_start(&self) -> bool {
        match &self.state {
            State::Exited(exited) => exited.restart_at.is_some(),
            State::Running(_) => false,
            State::Waiting(_) | State::Pulling { .. } | State::Starting { .. } | State::Discarding => true,
        }
    }

    /// A process of it may exist.
    pub fn live(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Running(_))
    }

    /// A start is under way: the next container of the pod waits for it, hook included.
    pub fn busy(&self) -> bool {
        match &self.state {
            State::Pulling { .. } | State::Starting { .. } | State::Discarding => true,
            State::Running(running) => running.hook_pending && running.stop.is_none(),
            State::Waiting(_) | State::Exited(_) => false,
        }
    }

    /// core/v1 ContainerStatus.started.
    pub fn started(&self) -> bool {
        self.running().is_some_and(|running| !running.hook_pending) && self.probes.startup_passed()
    }

    pub fn ready(&self) -> bool {
        match self.kind {
            ContainerKind::Init => self.exited().is_some_and(|exited| exited.terminated.code == 0),
            ContainerKind::Sidecar | ContainerKind::App => self.started() && self.probes.readiness_passed(),
            ContainerKind::Ephemeral => false,
        }
    }

    /// For the field path of an event.
    pub fn field_path(&self) -> String {
        let list = match self.kind {
            ContainerKind::Init | ContainerKind::Sidecar => "initContainers",
            ContainerKind::App => "containers",
            ContainerKind::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.spec.name)
    }
}

/// The fields that an ephemeral container shares with any other.
pub fn from_ephemeral(ephemeral: &EphemeralContainer) -> Container {
    let e = ephemeral.clone();
    Container {
        name: e.name,
        image: e.image,
        command: e.command,
        args: e.args,
        working_dir: e.working_dir,
        env: e.env,
        env_from: e.env_from,
        image_pull_policy: e.image_pull_policy,
        security_context: e.security_context,
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        tty: e.tty,
        termination_message_path: e.termination_message_path,
        termination_message_policy: e.termination_message_policy,
        volume_mounts: e.volume_mounts,
        ..Container::default()
    }
}
