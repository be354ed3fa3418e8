//! A fake runtime: sandboxes and containers as records; signals end them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex};

use kubelet::node_runtime::{Answer, Execution, NodeRuntime, Streams};
use runtime::images::{Image, ImageError};
use runtime::spec::{
    ContainerSpec, ContainerState, ContainerStatus, ExecSpec, Exit, Listing, ProcessId, RuntimeEvent, SandboxSpec,
    SandboxStatus,
};
use runtime::{Error, Failure};
use serde_json::json;
use tokio::sync::{mpsc, watch};

#[derive(Clone)]
pub struct FakeRuntime {
    state: Arc<Mutex<State>>,
    images: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<String, SandboxSpec>,
    containers: BTreeMap<String, (ContainerSpec, ContainerState)>,
    images: BTreeSet<String>,
    events: Option<mpsc::UnboundedSender<RuntimeEvent>>,
    started: Vec<String>,
}

fn not_found(id: &str) -> Error {
    Error::Launcher(Failure::NotFound { what: "container".to_owned(), id: id.to_owned() })
}

fn image(reference: &str) -> Image {
    let config = json!({"Entrypoint": ["/app"], "StopSignal": "SIGQUIT"});
    let value = json!({"id": format!("sha256:{reference}"), "digest": "sha256:d", "references": [reference], "size": 5, "config": config, "chain": []});
    serde_json::from_value(value).expect("an image")
}

impl FakeRuntime {
    pub fn new(images: &[&str]) -> FakeRuntime {
        let images = images.iter().map(|name| runtime::images::normalize(name).expect("a reference")).collect();
        FakeRuntime { state: Arc::new(Mutex::new(State { images, ..State::default() })), images: watch::Sender::new(0) }
    }

    /// What a kubelet hears from now on.
    pub fn events(&self) -> mpsc::Receiver<RuntimeEvent> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        self.state.lock().expect("the state").events = Some(sender);
        let (to, from) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                if to.send(event).await.is_err() {
                    return;
                }
            }
        });
        from
    }

    pub fn load(&self, name: &str) {
        self.state.lock().expect("the state").images.insert(runtime::images::normalize(name).expect("a reference"));
        self.images.send_modify(|generation| *generation += 1);
    }

    /// Ids of all containers that were ever started, in order.
    pub fn started(&self) -> Vec<String> {
        self.state.lock().expect("the state").started.clone()
    }

    pub fn container(&self, name: &str) -> Option<ContainerSpec> {
        let state = self.state.lock().expect("the state");
        let named =
            |spec: &&ContainerSpec| spec.labels.get("io.kubernetes.container.name").is_some_and(|own| own == name);
        state.containers.values().map(|(spec, _)| spec).rfind(named).cloned()
    }

    pub fn sandboxes(&self) -> Vec<SandboxSpec> {
        self.state.lock().expect("the state").sandboxes.values().cloned().collect()
    }

    pub fn exit(&self, id: &str, code: i32) {
        let mut state = self.state.lock().expect("the state");
        let Some((_, container)) = state.containers.get_mut(id) else { return };
        let ContainerState::Running { started_at_ns, .. } = *container else { return };
        let finished_at_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("a time");
        let exit = Exit { code, signal: None, oom_killed: false, started_at_ns, finished_at_ns, start_error: None };
        *container = ContainerState::Exited(exit.clone());
        if let Some(events) = &state.events {
            let _ = events.send(RuntimeEvent::ContainerExited { id: id.to_owned(), exit });
        }
    }

    fn done<T: Send + 'static>(result: Result<T, Error>) -> Answer<'static, T> {
        Box::pin(std::future::ready(result))
    }
}

impl NodeRuntime for FakeRuntime {
    fn create_sandbox(&self, spec: SandboxSpec) -> Answer<'_, ()> {
        let mut state = self.state.lock().expect("the state");
        let replaced = state.sandboxes.insert(spec.id.clone(), spec);
        assert!(replaced.is_none(), "a sandbox is made twice");
        Self::done(Ok(()))
    }

    fn remove_sandbox(&self, id: String) -> Answer<'_, ()> {
        let mut state = self.state.lock().expect("the state");
        state.containers.retain(|_, (spec, _)| spec.sandbox != id);
        Self::done(state.sandboxes.remove(&id).map(drop).ok_or_else(|| not_found(&id)))
    }

    fn start_container(&self, spec: ContainerSpec) -> Answer<'_, ProcessId> {
        let mut state = self.state.lock().expect("the state");
        assert!(state.sandboxes.contains_key(&spec.sandbox), "a container without its sandbox");
        let started_at_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("a time");
        let process = ProcessId { pid: 1, start_time: 1 };
        state.started.push(spec.id.clone());
        let replaced =
            state.containers.insert(spec.id.clone(), (spec, ContainerState::Running { process, started_at_ns }));
        assert!(replaced.is_none(), "a container is made twice");
        Self::done(Ok(process))
    }

    fn signal_container(&self, id: String, signal: i32) -> Answer<'_, ()> {
        self.exit(&id, 128 + signal);
        Self::done(Ok(()))
    }

    fn kill_container(&self, id: String) -> Answer<'_, ()> {
        self.exit(&id, 137);
        Self::done(Ok(()))
    }

    fn remove_container(&self, id: String) -> Answer<'_, ()> {
        let removed = self.state.lock().expect("the state").containers.remove(&id);
        Self::done(removed.map(drop).ok_or_else(|| not_found(&id)))
    }

    fn exec(&self, _: ExecSpec) -> Answer<'_, Execution> {
        let exit =
            Exit { code: 0, signal: None, oom_killed: false, started_at_ns: 0, finished_at_ns: 0, start_error: None };
        Self::done(Ok(Execution {
            streams: Streams::default(),
            exit: Box::pin(std::future::ready(Ok(exit))),
            signal: Box::new(|_| Box::pin(std::future::ready(()))),
        }))
    }

    fn attach(&self, _: String) -> Answer<'_, Streams> {
        Self::done(Ok(Streams::default()))
    }

    fn list(&self) -> Answer<'_, Listing> {
        let state = self.state.lock().expect("the state");
        let sandboxes =
            state.sandboxes.values().map(|spec| SandboxStatus { spec: spec.clone(), created_at_ns: 1, ready: true });
        let containers = state.containers.values().map(|(spec, state)| ContainerStatus {
            id: spec.id.clone(),
            sandbox: spec.sandbox.clone(),
            image: spec.image.clone(),
            labels: spec.labels.clone(),
            log_path: spec.log_path.clone(),
            state: state.clone(),
        });
        Self::done(Ok(Listing { sandboxes: sandboxes.collect(), containers: containers.collect() }))
    }

    fn resolve_image(&self, reference: &str) -> Option<Image> {
        let state = self.state.lock().expect("the state");
        let name = match reference.strip_prefix("sha256:") {
            Some(name) => name.to_owned(),
            None => runtime::images::normalize(reference).ok()?,
        };
        state.images.contains(&name).then(|| image(&name))
    }

    fn list_images(&self) -> Vec<Image> {
        self.state.lock().expect("the state").images.iter().map(|name| image(name)).collect()
    }

    fn image_changes(&self) -> watch::Receiver<u64> {
        self.images.subscribe()
    }

    fn load_images(&self, _: Box<dyn Read + Send>) -> Result<Vec<Image>, ImageError> {
        Err(ImageError::Archive("a fake store reads none".to_owned()))
    }

    fn remove_image(&self, reference: &str, _: &BTreeSet<String>) -> Result<Image, ImageError> {
        Err(ImageError::NotFound(reference.to_owned()))
    }
}
