//! A fake node: answers effects at once unless told otherwise, keeps the containers it was asked for, and checks the rules
//! that no sequence of inputs may break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use runtime::spec::{ContainerState, Exit, ProcessId};
use serde_json::{Value, json};

use super::super::*;

pub struct World {
    pub now: Timestamp,
    pub machine: PodMachine,
    pub pod: Pod,
    pub containers: BTreeMap<String, FakeContainer>,
    pub sandbox: Option<(u32, bool)>,
    /// Images that are not in the store; all others are.
    pub missing: BTreeSet<String>,
    /// What fails, and how: `volumes`, `sandbox`, `config NAME`, `create NAME`, `run NAME`.
    pub failures: BTreeMap<String, String>,
    /// Effects whose answer is held back: `hook NAME`, `start NAME`, `publish`.
    pub held: BTreeSet<String>,
    /// `NAME kind` to what the probe answers; success otherwise.
    pub probes: BTreeMap<String, ProbeOutcome>,
    /// Containers that ignore the stop signal.
    pub stubborn: BTreeSet<String>,
    pub pending: Vec<(String, Input)>,
    pub api: PodStatus,
    /// Somebody else has set a terminal phase.
    pub imposed: bool,
    pub object_exists: bool,
    pub finished: bool,
    pub log: Vec<String>,
    restart_counts: BTreeMap<String, i32>,
    /// When running containers were said to have started, by id.
    starts: BTreeMap<String, Option<Time>>,
}

#[derive(Clone, Debug)]
pub struct FakeContainer {
    pub name: String,
    pub attempt: u32,
    pub image_name: String,
    pub image: ImageRef,
    pub state: ContainerState,
}

impl FakeContainer {
    pub fn started(&self) -> bool {
        !matches!(&self.state, ContainerState::Exited(Exit { start_error: Some(_), .. }))
    }
}

pub fn epoch() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).expect("a time of this century")
}

pub fn pod(spec: &Value) -> Pod {
    let metadata = json!({"name": "p", "namespace": "ns", "uid": "uid-1", "generation": 1});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a pod")
}

fn facts() -> NodeFacts {
    NodeFacts { host_ips: vec!["10.0.0.1".parse().expect("an address")] }
}

impl World {
    pub fn new(spec: &Value) -> World {
        let pod = pod(spec);
        World {
            now: epoch(),
            machine: PodMachine::new(Arc::new(pod.clone()), facts(), epoch()),
            pod,
            containers: BTreeMap::new(),
            sandbox: None,
            missing: BTreeSet::new(),
            failures: BTreeMap::new(),
            held: BTreeSet::new(),
            probes: BTreeMap::new(),
            stubborn: BTreeSet::new(),
            pending: Vec::new(),
            api: PodStatus::default(),
            imposed: false,
            object_exists: true,
            finished: false,
            log: Vec::new(),
            restart_counts: BTreeMap::new(),
            starts: BTreeMap::new(),
        }
    }

    pub fn input(&mut self, input: Input) {
        self.machine.handle(input, self.now);
        self.settle();
    }

    /// Does effects until there are none.
    pub fn settle(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            if let Some(line) = super::scenario::line(&effect, |id| self.name_of(id)) {
                self.log.push(line);
            }
            if let Some(answer) = self.perform(effect) {
                self.machine.handle(answer, self.now);
            }
            self.check();
        }
    }

    /// Lets time pass, with every timeout on the way.
    pub fn advance(&mut self, seconds: i64) {
        let end = backoff::after(self.now, seconds);
        let mut steps = 0;
        while let Some(due) = self.machine.poll_timeout().filter(|due| *due <= end) {
            steps += 1;
            assert!(steps < 10_000, "the machine asks for the same timeout again and again: {due}");
            self.now = self.now.max(due);
            self.log.push(format!("@{}", self.clock()));
            let length = self.log.len();
            self.input(Input::Timeout);
            if self.log.len() == length {
                self.log.pop();
            }
        }
        self.now = end;
    }

    pub fn clock(&self) -> String {
        format!("{}s", self.now.duration_since(epoch()).as_secs())
    }

    fn name_of(&self, id: &str) -> String {
        self.containers
            .get(id)
            .map(|container| format!("{} #{}", container.name, container.attempt))
            .unwrap_or_default()
    }

    fn answer(&mut self, key: String, input: Input) -> Option<Input> {
        if self.held.contains(&key) {
            self.pending.push((key, input));
            return None;
        }
        Some(input)
    }

    fn perform(&mut self, effect: Effect) -> Option<Input> {
        let failure = |key: &str| self.failures.get(key).cloned();
        match effect {
            Effect::MountVolumes => Some(Input::VolumesMounted(failure("volumes").map_or(Ok(()), Err))),
            Effect::UnmountVolumes => Some(Input::VolumesUnmounted),
            Effect::CreateSandbox { attempt } => match failure("sandbox") {
                Some(message) => Some(Input::SandboxCreated(Err(message))),
                None => {
                    assert!(self.sandbox.is_none(), "a second sandbox");
                    self.sandbox = Some((attempt, true));
                    Some(Input::SandboxCreated(Ok(vec!["10.1.0.2".parse().expect("an address")])))
                }
            },
            Effect::RemoveSandbox { .. } => {
                self.sandbox = None;
                self.containers.clear();
                Some(Input::SandboxRemoved)
            }
            Effect::EnsureImage { container } => Some(self.ensure_image(container)),
            Effect::StartContainer { container, id, attempt, image } => self.start(container, id, attempt, image),
            Effect::RunHook { container, id, hook, .. } => {
                let result = failure(&format!("hook {container}")).map_or(Ok(()), Err);
                self.answer(format!("hook {container}"), Input::HookDone { id, hook, result })
            }
            Effect::Probe { container, id, probe, .. } => {
                let key = format!("{container} {}", probe.title().to_lowercase());
                let outcome = self.probes.get(&key).cloned().unwrap_or(ProbeOutcome::Success);
                Some(Input::ProbeDone { id, probe, outcome })
            }
            Effect::Signal { id, signal } => {
                let stubborn =
                    self.containers.get(&id).is_some_and(|container| self.stubborn.contains(&container.name));
                (!stubborn).then(|| self.exit(&id, 128 + signal)).flatten()
            }
            Effect::Kill { id } => self.exit(&id, 137),
            Effect::RemoveContainer { id, .. } => {
                self.containers.remove(&id);
                Some(Input::ContainerRemoved { id })
            }
            Effect::Publish { number, status } => {
                self.api = *status;
                self.answer("publish".to_owned(), Input::Published(number))
            }
            Effect::DeleteObject => {
                self.object_exists = false;
                Some(Input::Gone)
            }
            Effect::Event(_) => None,
            Effect::Finished => {
                self.finished = true;
                None
            }
        }
    }

    fn ensure_image(&self, container: String) -> Input {
        let name = self.image_name(&container);
        let policy = self.spec_of(&container).and_then(|spec| spec.image_pull_policy);
        let result = match (self.missing.contains(&name), policy.as_deref()) {
            (true, Some("Never")) => Err(ImageFailure::NeverPull("never".to_owned())),
            (true, _) => Err(ImageFailure::Pull("not here".to_owned())),
            (false, _) => Ok(ImageRef { id: format!("sha256:{name}"), reference: name, stop_signal: 15 }),
        };
        Input::Image { container, result }
    }

    fn spec_of(&self, name: &str) -> Option<k8s_openapi::api::core::v1::Container> {
        let spec = self.pod.spec.as_ref()?;
        let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
        all.find(|container| container.name == name).cloned()
    }

    fn image_name(&self, container: &str) -> String {
        self.spec_of(container).and_then(|spec| spec.image).unwrap_or_default()
    }

    fn start(&mut self, name: String, id: String, attempt: u32, image: ImageRef) -> Option<Input> {
        assert!(self.sandbox.is_some_and(|(_, ready)| ready), "a container without a sandbox");
        for (key, fail) in [("config", StartFailure::Config as fn(String) -> _), ("create", StartFailure::Create)] {
            if let Some(message) = self.failures.get(&format!("{key} {name}")) {
                return Some(Input::Started { id, result: Err(fail(message.clone())) });
            }
        }
        assert!(!self.containers.contains_key(&id), "container id {id} is used twice");
        let image_name = self.image_name(&name);
        let failed = self.failures.get(&format!("run {name}")).cloned();
        let state = match &failed {
            None => ContainerState::Running {
                process: ProcessId { pid: 1, start_time: 1 },
                // It was a moment before anybody heard of it.
                started_at_ns: nanoseconds(self.now) - 1_000_000_000,
            },
            Some(message) => {
                ContainerState::Exited(Exit { start_error: Some(message.clone()), ..self.exit_of(128, self.now) })
            }
        };
        self.containers.insert(id.clone(), FakeContainer { name: name.clone(), attempt, image_name, image, state });
        let result = failed.map_or(Ok(self.now), |message| Err(StartFailure::Run(message)));
        self.answer(format!("start {name}"), Input::Started { id, result })
    }

    fn exit_of(&self, code: i32, started_at: Timestamp) -> Exit {
        Exit {
            code,
            signal: (code > 128).then(|| code - 128),
            oom_killed: false,
            started_at_ns: nanoseconds(started_at),
            finished_at_ns: nanoseconds(self.now),
            start_error: None,
        }
    }

    pub fn exit(&mut self, id: &str, code: i32) -> Option<Input> {
        let started_at_ns = match self.containers.get(id)?.state {
            ContainerState::Running { started_at_ns, .. } => started_at_ns,
            _ => return None,
        };
        let exit = Exit { started_at_ns, ..self.exit_of(code, self.now) };
        self.containers.get_mut(id)?.state = ContainerState::Exited(exit.clone());
        Some(Input::Exited { id: id.to_owned(), exit, message: None })
    }

    pub fn running_id(&self, name: &str) -> Option<String> {
        let running =
            |(_, c): &(&String, &FakeContainer)| c.name == name && matches!(c.state, ContainerState::Running { .. });
        self.containers.iter().find(running).map(|(id, _)| id.clone())
    }

    pub fn delete(&mut self, grace: i64) {
        self.pod.metadata.deletion_timestamp = Some(Time(backoff::after(self.now, grace)));
        self.pod.metadata.deletion_grace_period_seconds = Some(grace);
        self.update();
    }

    pub fn update(&mut self) {
        self.pod.status = Some(self.api.clone());
        self.input(Input::Desired(Arc::new(self.pod.clone())));
    }

    /// The kubelet dies and comes back; the runtime stays.
    pub fn restart_kubelet(&mut self) {
        self.pending.clear();
        self.pod.status = Some(self.api.clone());
        let containers = self.containers.iter().map(|(id, container)| ObservedContainer {
            id: id.clone(),
            name: container.name.clone(),
            attempt: container.attempt,
            image_name: container.image_name.clone(),
            image: container.image.clone(),
            state: container.state.clone(),
            message: None,
        });
        let sandbox = self.sandbox.map(|(attempt, ready)| ObservedSandbox {
            attempt,
            ready,
            ips: vec!["10.1.0.2".parse().expect("an address")],
        });
        let observed = Observed { sandbox, containers: containers.collect() };
        self.machine = PodMachine::recover(Arc::new(self.pod.clone()), observed, facts(), self.now);
        self.settle();
    }

    pub fn statuses(&self) -> Vec<ContainerStatus> {
        let lists = [&self.api.init_container_statuses, &self.api.container_statuses];
        lists.into_iter().flatten().flatten().cloned().collect()
    }

    /// The rules.
    pub fn check(&mut self) {
        let mut running: BTreeSet<&str> = BTreeSet::new();
        for container in self.containers.values() {
            if matches!(container.state, ContainerState::Running { .. }) {
                assert!(running.insert(&container.name), "two running instances of {}", container.name);
            }
        }
        for status in self.statuses() {
            let before = self.restart_counts.insert(status.name.clone(), status.restart_count).unwrap_or(0);
            assert!(status.restart_count >= before, "restartCount of {} fell from {before}", status.name);
            if let (Some(id), Some(running)) = (status.container_id, status.state.and_then(|state| state.running)) {
                let before = self.starts.entry(id).or_insert_with(|| running.started_at.clone());
                assert_eq!(*before, running.started_at, "startedAt of {} changed", status.name);
            }
        }
        let terminal = phase::is_terminal(self.api.phase.as_deref()) && !self.imposed;
        assert!(!terminal || running.is_empty(), "{running:?} runs in a pod that is {:?}", self.api.phase);
        assert!(!self.finished || running.is_empty(), "{running:?} runs after the end");
        assert!(!(self.finished && self.object_exists), "the machine finished before its object");
    }
}
