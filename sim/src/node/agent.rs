//! The loop that owns the pod machines of a node, and the effects on its hardware.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kubelet::clock::Clock;
use kubelet::node::object;
use kubelet::parts::{News, PodNews, Publisher, Refusal, admit, follow_pods};
use kubelet::pod::{Effect, ImageRef, Input, NodeFacts, Observed, PodMachine, ProbeKind, ProbeOutcome, StartFailure};
use runtime::spec::Exit;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::hardware::Hardware;
use super::{Site, register};
use crate::bugs::Bug;

/// As the kubelet's own channels.
const NEWS: usize = 1024;

struct Entry {
    machine: PodMachine,
    publisher: Publisher,
    timeout: Option<Timestamp>,
}

struct Agent {
    site: Site,
    client: Client,
    clock: Clock,
    answers: mpsc::Sender<News>,
    pods: BTreeMap<String, Entry>,
    node: watch::Receiver<Arc<Node>>,
    /// Of the start, until the first full list of pods has come.
    found: BTreeMap<String, Observed>,
    listed: bool,
    /// Reported before it was known whose containers they are.
    early_exits: Vec<(String, Exit)>,
}

pub async fn run(site: Site, client: Client) {
    let clock = Clock::start();
    let (exits, mut exited) = mpsc::unbounded_channel();
    let found = {
        let mut hardware = lock(&site);
        hardware.listen(exits);
        if site.bug == Some(Bug::ForgetsContainers) { BTreeMap::new() } else { hardware.found() }
    };
    let registered = register::register(&site, &client, clock).await;
    // A crash drops the tasks; nothing here is ever cancelled.
    let never = CancellationToken::new();
    tokio::spawn(kubelet::node::renew_lease(client.clone(), registered.clone(), clock, never.clone()));
    let (sender, node) = watch::channel(registered);
    tokio::spawn(kubelet::node::follow(client.clone(), site.name.clone(), sender, never.clone()));
    tokio::spawn(register::keep(site.clone(), client.clone(), clock, node.clone()));
    let (pod_news, mut pods) = mpsc::channel(NEWS);
    tokio::spawn(follow_pods(client.clone(), site.name.clone(), pod_news, never));
    let (answers, mut news) = mpsc::channel(NEWS);
    let (pods_of, early_exits) = (BTreeMap::new(), Vec::new());
    let mut agent = Agent { site, client, clock, answers, pods: pods_of, node, found, listed: false, early_exits };
    loop {
        let timeout = agent.pods.values().filter_map(|entry| entry.timeout).min();
        let timer = async {
            match timeout {
                Some(at) => tokio::time::sleep(clock.until(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(news) = pods.recv() => agent.on_pods(news),
            Some(news) = news.recv() => agent.on_news(news),
            Some((id, exit)) = exited.recv() => agent.on_exit(id, exit),
            () = timer => agent.on_time(),
        }
    }
}

fn lock(site: &Site) -> MutexGuard<'_, Hardware> {
    site.hardware.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By which a pod's state is found again; another pod may get its name.
fn uid_of(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

impl Agent {
    fn on_pods(&mut self, news: PodNews) {
        match news {
            PodNews::All(pods) => self.on_all(pods),
            PodNews::Changed(pod) => self.on_pod(pod),
            PodNews::Deleted(pod) => {
                let uid = uid_of(&pod);
                if self.pods.contains_key(&uid) {
                    self.input(&uid, Input::Desired(pod));
                    self.input(&uid, Input::Gone);
                }
            }
        }
    }

    /// The full list: what is not in it is gone.
    fn on_all(&mut self, mut pods: Vec<Arc<Pod>>) {
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let present: BTreeSet<String> = pods.iter().map(|pod| uid_of(pod)).collect();
        let gone: Vec<String> = self.pods.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
        gone.iter().for_each(|uid| self.input(uid, Input::Gone));
        pods.into_iter().for_each(|pod| self.on_pod(pod));
        if !std::mem::replace(&mut self.listed, true) {
            for uid in std::mem::take(&mut self.found).into_keys() {
                lock(&self.site).remove_sandbox(&uid);
            }
            std::mem::take(&mut self.early_exits).into_iter().for_each(|(id, exit)| self.on_exit(id, exit));
        }
    }

    fn on_pod(&mut self, pod: Arc<Pod>) {
        let uid = uid_of(&pod);
        match self.pods.contains_key(&uid) {
            true => {
                self.input(&uid, Input::Desired(pod.clone()));
                if let Some(entry) = self.pods.get(&uid).filter(|entry| entry.machine.active()) {
                    entry.publisher.seen(pod, entry.machine.status());
                }
            }
            false => self.add(uid, pod),
        }
    }

    fn add(&mut self, uid: String, pod: Arc<Pod>) {
        let now = self.clock.now();
        let facts = NodeFacts { host_ips: self.site.config.node_ips.clone() };
        let known = pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
        let publisher = Publisher::start(self.client.clone(), &pod, self.answers.clone());
        let mut refusal = None;
        let machine = match self.found.remove(&uid) {
            Some(found) => PodMachine::recover(pod, found, facts, now),
            None if known => PodMachine::recover(pod, Observed::default(), facts, now),
            None => {
                refusal = self.admission(&pod);
                PodMachine::new(pod, facts, now)
            }
        };
        self.pods.insert(uid.clone(), Entry { machine, publisher, timeout: None });
        match refusal {
            Some(Refusal { reason, message }) => self.input(&uid, Input::Rejected { reason, message }),
            None => self.input(&uid, Input::Timeout),
        }
    }

    fn admission(&self, pod: &Pod) -> Option<Refusal> {
        if pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let active = self.pods.values().filter(|entry| entry.machine.active());
        let others: Vec<&Pod> = active.map(|entry| entry.machine.pod().as_ref()).collect();
        let node = self.node.borrow().clone();
        let mut allocatable = node.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
        allocatable.extend(object::resources(&self.site.config, &self.site.facts));
        admit(pod, &node, &others, &allocatable).err()
    }

    fn on_news(&mut self, news: News) {
        if let News::Input(uid, input) = news {
            self.input(&uid, input);
        }
    }

    fn on_exit(&mut self, id: String, exit: Exit) {
        if !self.listed {
            return self.early_exits.push((id, exit));
        }
        let of = |(_, entry): &(&String, &Entry)| entry.machine.container_of(&id).is_some();
        let uid = self.pods.iter().find(of).map(|(uid, _)| uid.clone());
        if let Some(uid) = uid {
            self.input(&uid, Input::Exited { id, exit, message: None });
        }
    }

    fn on_time(&mut self) {
        let now = self.clock.now();
        let due = |entry: &&Entry| entry.timeout.is_some_and(|at| at <= now);
        let pods: Vec<String> = self.pods.iter().filter(|(_, entry)| due(entry)).map(|(uid, _)| uid.clone()).collect();
        pods.iter().for_each(|uid| self.input(uid, Input::Timeout));
    }

    /// Gives a machine its input and does what it asks for.
    fn input(&mut self, uid: &str, input: Input) {
        let now = self.clock.now();
        let Some(entry) = self.pods.get_mut(uid) else { return };
        entry.machine.handle(input, now);
        let effects: Vec<Effect> = std::iter::from_fn(|| entry.machine.poll_effect()).collect();
        entry.timeout = entry.machine.poll_timeout();
        effects.into_iter().for_each(|effect| self.perform(uid, effect));
    }

    fn perform(&mut self, uid: &str, effect: Effect) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        match &effect {
            Effect::Publish { number, status } => return entry.publisher.publish(*number, status.as_ref().clone()),
            Effect::DeleteObject => return entry.publisher.delete(),
            Effect::Finished => return drop(self.pods.remove(uid)),
            _ => {}
        }
        let (site, answers, uid, pod) =
            (self.site.clone(), self.answers.clone(), uid.to_owned(), entry.machine.pod().clone());
        let (before, after) = {
            let mut hardware = lock(&site);
            (hardware.pause(), hardware.pause())
        };
        tokio::spawn(async move {
            // A kubelet that dies meanwhile has done it, or has not, or does not know.
            tokio::time::sleep(before).await;
            let answer = do_it(&mut lock(&site), site.bug, &uid, &pod, effect);
            tokio::time::sleep(after).await;
            if let Some(input) = answer {
                let _ = answers.send(News::Input(uid, input)).await;
            }
        });
    }
}

/// `None`: its answer comes another way, or none is waited for.
fn do_it(hardware: &mut Hardware, bug: Option<Bug>, uid: &str, pod: &Pod, effect: Effect) -> Option<Input> {
    Some(match effect {
        Effect::MountVolumes => Input::VolumesMounted(Ok(())),
        Effect::UnmountVolumes => Input::VolumesUnmounted,
        Effect::CreateSandbox { attempt } => Input::SandboxCreated(Ok(vec![hardware.create_sandbox(uid, attempt)])),
        Effect::RemoveSandbox { .. } => {
            hardware.remove_sandbox(uid);
            Input::SandboxRemoved
        }
        Effect::EnsureImage { container } => {
            let reference = image_of(pod, &container);
            let image = ImageRef { id: format!("sha256:{reference}"), reference, stop_signal: 15 };
            Input::Image { container, result: Ok(image) }
        }
        Effect::StartContainer { container, id, attempt, image } => {
            let started = hardware.start(pod, &container, &id, attempt, image);
            let now = Timestamp::from_nanosecond(i128::from(crate::clock::wall())).unwrap_or(Timestamp::UNIX_EPOCH);
            Input::Started { id, result: started.map(|()| now).map_err(StartFailure::Create) }
        }
        Effect::RunHook { id, hook, .. } => Input::HookDone { id, hook, result: Ok(()) },
        Effect::Probe { id, probe, .. } => {
            let passes = probe != ProbeKind::Readiness || hardware.is_ready(&id);
            let outcome = if passes { ProbeOutcome::Success } else { ProbeOutcome::Failure("warming up".to_owned()) };
            Input::ProbeDone { id, probe, outcome }
        }
        Effect::Signal { id, .. } => {
            hardware.signal(&id, false);
            return (bug == Some(Bug::BelievesSignals)).then(|| Input::Exited { id, exit: killed(), message: None });
        }
        Effect::Kill { id } if hardware.signal(&id, true) => return None,
        // It had ended already, and the report may have been missed.
        Effect::Kill { id } => {
            let exit = hardware.exit_of(&id).unwrap_or_else(killed);
            Input::Exited { id, exit, message: None }
        }
        Effect::RemoveContainer { id, .. } => {
            hardware.remove_container(&id);
            Input::ContainerRemoved { id }
        }
        Effect::Event(_) | Effect::Publish { .. } | Effect::DeleteObject | Effect::Finished => return None,
    })
}

/// An end of which nothing else is known.
fn killed() -> Exit {
    Exit {
        code: 137,
        signal: Some(9),
        oom_killed: false,
        started_at_ns: 0,
        finished_at_ns: crate::clock::wall(),
        start_error: None,
    }
}

fn image_of(pod: &Pod, container: &str) -> String {
    let spec = pod.spec.as_ref();
    let mut containers =
        spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let image = containers.find(|each| each.name == container).and_then(|each| each.image.clone());
    image.unwrap_or_default()
}
