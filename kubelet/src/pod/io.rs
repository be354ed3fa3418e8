//! What goes into the pod machine and what comes out of it: plain data, no IO.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use runtime::spec::{ContainerState, Exit};

/// News for the machine. Answers name the container id they are about, so that a late one is recognised and dropped.
#[derive(Clone, Debug)]
pub enum Input {
    /// The object as the API has it now; also how a graceful deletion arrives.
    Desired(Arc<Pod>),
    /// The object left the API without us (forced deletion).
    Gone,
    /// The time of `poll_timeout` has come.
    Timeout,
    /// Something a failed step waited for may be there now (an image was loaded, a ConfigMap appeared): try again at once.
    Retry,
    /// This node refuses the pod; nothing of it was started.
    Rejected {
        reason: String,
        message: String,
    },
    VolumesMounted(Result<(), String>),
    VolumesUnmounted,
    SandboxCreated(Result<Vec<IpAddr>, String>),
    SandboxRemoved,
    /// The namespaces were lost under running containers (the launcher died): everything in it is dead.
    SandboxLost,
    Image {
        container: String,
        result: Result<ImageRef, ImageFailure>,
    },
    Started {
        id: String,
        result: Result<Timestamp, StartFailure>,
    },
    Exited {
        id: String,
        exit: Exit,
        /// Termination message, already read by the driver.
        message: Option<String>,
    },
    HookDone {
        id: String,
        hook: Hook,
        result: Result<(), String>,
    },
    ProbeDone {
        id: String,
        probe: ProbeKind,
        outcome: ProbeOutcome,
    },
    ContainerRemoved {
        id: String,
    },
    /// The API has the status with this number, or one that came after it (or the object is gone).
    Published(u64),
}

/// An image of the node's store, as far as a pod needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRef {
    /// `sha256:…` of the config.
    pub id: String,
    /// What the container status shows as `imageID`: a repository digest where there is one, else the id.
    pub reference: String,
    /// From the image's STOPSIGNAL, resolved to a number; SIGTERM otherwise.
    pub stop_signal: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageFailure {
    /// Pull policy Never and not in the store.
    NeverPull(String),
    /// Not in the store, and it could not be brought there.
    Pull(String),
    /// Not a valid reference.
    InvalidName(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartFailure {
    /// The configuration cannot be made (a referenced ConfigMap is missing, runAsNonRoot is violated): no container exists.
    Config(String),
    /// The runtime refused it: no container exists.
    Create(String),
    /// The container exists but its process did not start.
    Run(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    PostStart,
    PreStop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    /// As events write it.
    pub fn title(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    Success,
    /// Success with something to say about it (a redirect to another host).
    Warning(String),
    Failure(String),
    /// The probe itself could not be made: says nothing about the container.
    Error(String),
}

/// What the driver is to do. Every effect but `Event` and `Finished` is answered by an input.
#[derive(Clone, Debug)]
pub enum Effect {
    MountVolumes,
    UnmountVolumes,
    CreateSandbox {
        attempt: u32,
    },
    RemoveSandbox {
        attempt: u32,
    },
    EnsureImage {
        container: String,
    },
    StartContainer {
        container: String,
        id: String,
        attempt: u32,
        image: ImageRef,
    },
    RunHook {
        container: String,
        id: String,
        hook: Hook,
        timeout: Option<Duration>,
    },
    Probe {
        container: String,
        id: String,
        probe: ProbeKind,
        /// Nothing is known of the container yet, and nothing depends on the answer but that it counts as started or ready: a
        /// port that nobody listens on may be waited for within the probe's timeout.
        first: bool,
    },
    /// Answered by the container's exit.
    Signal {
        id: String,
        signal: i32,
    },
    /// SIGKILL to everything in the container; answered by its exit.
    Kill {
        id: String,
    },
    /// Forget a dead container with its log and its writable layer.
    RemoveContainer {
        container: String,
        id: String,
        attempt: u32,
    },
    /// A newer one replaces an unsent older one.
    Publish {
        number: u64,
        status: Box<PodStatus>,
    },
    /// Delete the API object with grace period 0 and its uid as precondition, after what was published. Answered by `Gone`.
    DeleteObject,
    Event(PodEvent),
    /// Nothing of the pod is left on this node and its object is gone: the machine can be dropped.
    Finished,
}

/// An Event about the pod or one of its containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    pub warning: bool,
    pub reason: Cow<'static, str>,
    pub message: String,
    /// `spec.containers{name}` and the like, for an event about one container.
    pub field_path: Option<String>,
}

/// What the runtime had of this pod when the kubelet started.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub sandbox: Option<ObservedSandbox>,
    pub containers: Vec<ObservedContainer>,
}

#[derive(Clone, Debug)]
pub struct ObservedSandbox {
    pub attempt: u32,
    pub ready: bool,
    pub ips: Vec<IpAddr>,
}

#[derive(Clone, Debug)]
pub struct ObservedContainer {
    pub id: String,
    pub name: String,
    pub attempt: u32,
    /// The image as the pod named it when this container was made.
    pub image_name: String,
    pub image: ImageRef,
    pub state: ContainerState,
    /// Termination message of an exited one.
    pub message: Option<String>,
}

/// What a status needs to know about the node.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    pub host_ips: Vec<IpAddr>,
}
