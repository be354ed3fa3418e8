//! Doing one effect: what to call, and what news its end is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod};
use reconcile::events::EventType;
use runtime::spec::{ContainerState, Exit};

use super::set_up::{self, VolumeLock, Volumes};
use super::start::{self, Start};
use super::{News, Shared};
use crate::actions::probe::Subject;
use crate::actions::{hook, probe};
use crate::launch::sandbox::sandbox_id;
use crate::pod::{Effect, Hook, Input, PodEvent, ProbeKind, ProbeOutcome, StartFailure};

/// Between two tries of a step that must succeed in the end.
const PAUSE: Duration = Duration::from_secs(1);

/// What an effect of one pod needs to know about it.
#[derive(Clone)]
pub struct Context {
    pub pod: Arc<Pod>,
    pub uid: String,
    pub ips: Vec<IpAddr>,
    pub sandbox: String,
    pub volumes: Volumes,
    pub lock: VolumeLock,
}

impl Context {
    fn news(&self, input: Input) -> News {
        News::Input(self.uid.clone(), input)
    }
}

/// `container`: the one that the effect is about, if any. `None`: the effect's answer comes another way.
pub async fn perform(
    shared: Arc<Shared>,
    cx: Context,
    effect: Effect,
    container: Option<Container>,
    address: Option<IpAddr>,
) -> Option<News> {
    let runtime = shared.runtime.as_ref();
    match effect {
        Effect::MountVolumes => {
            let result = set_up::set_up(&shared, &cx.pod, cx.ips.clone(), cx.lock.clone()).await;
            Some(News::Volumes(cx.uid, result))
        }
        Effect::UnmountVolumes => {
            set_up::tear_down(&shared, &cx.uid, cx.lock.clone()).await;
            Some(cx.news(Input::VolumesUnmounted))
        }
        Effect::CreateSandbox { attempt } => {
            let result = start::create_sandbox(&shared, &cx.pod, attempt, address).await;
            Some(cx.news(Input::SandboxCreated(result)))
        }
        Effect::RemoveSandbox { attempt } => {
            remove_sandbox(&shared, &sandbox_id(&cx.uid, attempt)).await;
            Some(cx.news(Input::SandboxRemoved))
        }
        Effect::EnsureImage { container: name } => {
            let result = start::ensure_image(&shared, &container?);
            Some(cx.news(Input::Image { container: name, result }))
        }
        Effect::StartContainer { id, attempt, image, .. } => {
            let answer = Start {
                pod: cx.pod.clone(),
                container: container?,
                id: id.clone(),
                attempt,
                sandbox: cx.sandbox.clone(),
                image,
                volumes: cx.volumes.clone(),
                ips: cx.ips.clone(),
            };
            let result: Result<(), StartFailure> = start::start_container(&shared, answer).await;
            let result = result.map(|()| shared.clock.now());
            Some(cx.news(Input::Started { id, result }))
        }
        Effect::RunHook { id, hook, timeout, .. } => run_hook(&shared, &cx, &container?, id, hook, timeout).await,
        Effect::Probe { id, probe, first, .. } => Some(run_probe(&shared, &cx, &container?, id, (probe, first)).await),
        Effect::Signal { id, signal } => {
            settle(runtime.signal_container(id.clone(), signal).await, "signal", &id);
            None
        }
        Effect::Kill { id } => kill(&shared, &cx, id).await,
        Effect::RemoveContainer { container, id, attempt } => {
            remove_container(&shared, &cx, &container, &id, attempt).await;
            Some(cx.news(Input::ContainerRemoved { id }))
        }
        Effect::Event(event) => {
            record(&shared, &cx.pod, &event);
            None
        }
        // The manager does these itself.
        Effect::Publish { .. } | Effect::DeleteObject | Effect::Finished => None,
    }
}

/// With its log and its termination message. What cannot be removed is left for the end of the pod.
async fn remove_container(shared: &Shared, cx: &Context, container: &str, id: &str, attempt: u32) {
    settle(shared.runtime.remove_container(id.to_owned()).await, "remove", id);
    let log = shared.paths.log(&cx.pod, container, attempt);
    let message = shared.paths.termination_log(&cx.uid, container, attempt);
    let removed = tokio::task::spawn_blocking(move || {
        // Without one there is nothing to remove.
        let _ = std::fs::remove_file(message);
        crate::logs::remove(&log)
    });
    if let Ok(Err(error)) = removed.await {
        tracing::warn!(container = %id, %error, "log of an old container not removed");
    }
}

/// A container that has ended by itself meanwhile is no failure.
fn settle(result: Result<(), runtime::Error>, what: &'static str, id: &str) {
    match result {
        Err(error) if !error.is_not_found() && !error.is_not_running() => {
            tracing::warn!(container = id, %error, what, "request to the runtime failed");
        }
        _ => {}
    }
}

/// `None`: its exit will be reported. Otherwise it had ended already, and the report may have been missed.
async fn kill(shared: &Shared, cx: &Context, id: String) -> Option<News> {
    loop {
        match shared.runtime.kill_container(id.clone()).await {
            Ok(()) => return None,
            Err(error) if error.is_not_found() || error.is_not_running() => break,
            Err(error) => tracing::warn!(container = %id, %error, "container not killed, trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    let listing = loop {
        match shared.runtime.list().await {
            Ok(listing) => break listing,
            Err(error) => tracing::warn!(%error, "runtime not listed, trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let known = listing.containers.into_iter().find(|container| container.id == id).map(|container| container.state);
    let exit = match known {
        Some(ContainerState::Exited(exit)) => exit,
        Some(ContainerState::Running { .. }) => return None,
        Some(ContainerState::Created) | None => Exit {
            code: 137,
            signal: Some(9),
            oom_killed: false,
            started_at_ns: 0,
            finished_at_ns: i64::try_from(shared.clock.now().as_nanosecond()).unwrap_or(0),
            start_error: None,
        },
    };
    Some(cx.news(Input::Exited { id, exit, message: None }))
}

/// Tries until it is gone.
pub async fn remove_sandbox(shared: &Shared, id: &str) {
    loop {
        match shared.runtime.remove_sandbox(id.to_owned()).await {
            Ok(()) => return,
            Err(error) if error.is_not_found() => return,
            Err(error) => tracing::warn!(sandbox = id, %error, "sandbox not removed, trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `probe` is its kind, and whether it is the first.
async fn run_probe(
    shared: &Shared,
    cx: &Context,
    container: &Container,
    id: String,
    (kind, first): (ProbeKind, bool),
) -> News {
    let subject = Subject { runtime: shared.runtime.as_ref(), container, id: &id, pod_ip: cx.ips.first().copied() };
    let outcome = match probe::of(container, kind) {
        Some(probe) => subject.probe(probe, first).await,
        None => ProbeOutcome::Success,
    };
    cx.news(Input::ProbeDone { id, probe: kind, outcome })
}

async fn run_hook(
    shared: &Shared,
    cx: &Context,
    container: &Container,
    id: String,
    kind: Hook,
    timeout: Option<Duration>,
) -> Option<News> {
    let handler = hook::of(container, kind)?;
    let ip = cx.ips.first().copied();
    let result = hook::run(shared.runtime.as_ref(), container, &id, ip, handler, timeout).await;
    if let Err(error) = &result {
        tracing::info!(container = %id, hook = ?kind, %error, "lifecycle hook failed");
    }
    Some(cx.news(Input::HookDone { id, hook: kind, result }))
}

pub fn record(shared: &Shared, pod: &Pod, event: &PodEvent) {
    let metadata = &pod.metadata;
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        field_path: event.field_path.clone(),
    };
    let kind = if event.warning { EventType::Warning } else { EventType::Normal };
    shared.recorder.event_about(&regarding, kind, &event.reason, &event.message);
}
