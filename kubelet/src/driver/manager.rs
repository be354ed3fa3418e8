//! The loop that owns the pod machines of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use runtime::spec::{Exit, Listing, RuntimeEvent};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::observe::{self, PodOnNode};
use super::perform::{self, Context};
use super::publisher::Publisher;
use super::set_up::{self, VolumeLock, Volumes};
use super::{ImageChanges, News, ObjectChanges, PodNews, Shared, admit};
use crate::actions::termination;
use crate::ipam::Ipam;
use crate::launch::objects::{ObjectKey, references};
use crate::launch::sandbox::sandbox_id;
use crate::pod::{Effect, Input, NodeFacts, PodMachine};
use crate::table::Row;

/// A pod on this node.
pub(super) struct Entry {
    pub(super) machine: PodMachine,
    publisher: Publisher,
    volumes: Volumes,
    lock: VolumeLock,
    address: Option<IpAddr>,
    sandbox: String,
    timeout: Option<Timestamp>,
}

/// Where news comes from.
pub struct Sources {
    pub pods: mpsc::Receiver<PodNews>,
    pub runtime: mpsc::Receiver<RuntimeEvent>,
    pub objects: ObjectChanges,
    pub images: ImageChanges,
    /// The node as the API has it, for admission.
    pub node: watch::Receiver<Arc<Node>>,
    pub news: mpsc::Receiver<News>,
}

pub struct Manager {
    pub(super) shared: Arc<Shared>,
    answers: mpsc::Sender<News>,
    pub(super) pods: BTreeMap<String, Entry>,
    pub(super) ipam: Ipam,
    node: watch::Receiver<Arc<Node>>,
    /// Of the start, until the first full list of pods has come.
    found: BTreeMap<String, PodOnNode>,
    listed: bool,
    /// What ended before the pods were known.
    early_exits: Vec<(String, Exit)>,
}

/// The id of a container begins with its pod's UID (see `pod::container_id`).
fn uid_of(container: &str) -> &str {
    container.rsplitn(3, '-').nth(2).unwrap_or(container)
}

impl Manager {
    pub fn new(
        shared: Arc<Shared>,
        listing: &Listing,
        answers: mpsc::Sender<News>,
        node: watch::Receiver<Arc<Node>>,
    ) -> Manager {
        let mut ipam = Ipam::new(shared.config.pod_cidr);
        for network in listing.sandboxes.iter().filter_map(|sandbox| sandbox.spec.network.as_ref()) {
            ipam.adopt(network.address);
        }
        let found = observe::by_pod(listing);
        Manager { shared, answers, pods: BTreeMap::new(), ipam, node, found, listed: false, early_exits: Vec::new() }
    }

    pub async fn run(mut self, mut sources: Sources, cancel: CancellationToken) {
        loop {
            let timeout = self.pods.values().filter_map(|entry| entry.timeout).min();
            let timer = async {
                match timeout {
                    Some(at) => tokio::time::sleep(self.shared.clock.until(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(news) = sources.pods.recv() => self.on_pods(news),
                Some(news) = sources.news.recv() => self.on_news(news),
                Some(event) = sources.runtime.recv() => self.on_runtime(event).await,
                Some(key) = sources.objects.recv() => self.on_object(&key),
                Ok(()) = sources.images.changed() => self.on_images(),
                () = timer => self.on_time(),
            }
        }
    }

    fn on_pods(&mut self, news: PodNews) {
        match news {
            PodNews::All(pods) => self.on_all(pods),
            PodNews::Changed(pod) => self.on_pod(pod),
            PodNews::Deleted(pod) => {
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                if self.pods.contains_key(&uid) {
                    // With its last words, such as the grace period of a forced deletion.
                    self.input(&uid, Input::Desired(pod));
                    self.input(&uid, Input::Gone);
                }
            }
        }
    }

    /// The full list: what is not in it is gone.
    fn on_all(&mut self, mut pods: Vec<Arc<Pod>>) {
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let present: BTreeSet<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        let gone: Vec<String> = self.pods.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
        gone.iter().for_each(|uid| self.input(uid, Input::Gone));
        pods.into_iter().for_each(|pod| self.on_pod(pod));
        if !std::mem::replace(&mut self.listed, true) {
            for (uid, pod) in std::mem::take(&mut self.found) {
                self.remove_orphan(uid, pod);
            }
            self.remove_orphaned_files();
            std::mem::take(&mut self.early_exits).into_iter().for_each(|(id, exit)| self.on_exit(id, exit));
            self.shared.table.set_complete();
        }
    }

    fn on_pod(&mut self, pod: Arc<Pod>) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if self.pods.contains_key(&uid) {
            let changed = self.pods.get(&uid).is_some_and(|entry| downward_changed(entry.machine.pod(), &pod));
            self.shared.objects.register(&uid, &references(&pod));
            self.input(&uid, Input::Desired(pod.clone()));
            if let Some(entry) = self.pods.get(&uid).filter(|entry| entry.machine.active()) {
                entry.publisher.seen(pod, entry.machine.status());
            }
            if changed {
                self.refresh(&uid);
            }
            return;
        }
        self.add(uid, pod);
    }

    fn add(&mut self, uid: String, pod: Arc<Pod>) {
        let now = self.shared.clock.now();
        let facts = NodeFacts { host_ips: self.shared.config.node_ips.clone() };
        let found = self.found.remove(&uid);
        let known = pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
        let publisher = Publisher::start(self.shared.client.clone(), &pod, self.answers.clone());
        let mut refusal = None;
        let (mut address, mut sandbox) = (None, String::new());
        let machine = match found {
            Some(found) => {
                if let Some(observed) = &found.observed.sandbox {
                    address = observed.ips.first().copied();
                    sandbox = sandbox_id(&uid, observed.attempt);
                }
                found.stale_sandboxes.iter().for_each(|id| self.remove_in_background(id.clone()));
                PodMachine::recover(pod, found.observed, facts, now)
            }
            None if known => PodMachine::recover(pod, Default::default(), facts, now),
            None => {
                refusal = self.admission(&pod);
                PodMachine::new(pod, facts, now)
            }
        };
        let entry = Entry {
            machine,
            publisher,
            volumes: Volumes::default(),
            lock: VolumeLock::default(),
            address,
            sandbox,
            timeout: None,
        };
        self.pods.insert(uid.clone(), entry);
        match refusal {
            Some(refusal) => {
                self.input(&uid, Input::Rejected { reason: refusal.reason, message: refusal.message });
            }
            None => self.input(&uid, Input::Timeout),
        }
    }

    fn admission(&self, pod: &Pod) -> Option<admit::Refusal> {
        if pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let others: Vec<&Pod> = self
            .pods
            .values()
            .filter(|entry| entry.machine.active())
            .map(|entry| entry.machine.pod().as_ref())
            .collect();
        let node = self.node.borrow().clone();
        // Foreign resources that somebody else has put on the node count as well.
        let mut allocatable = node.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
        allocatable.extend(self.shared.allocatable.clone());
        admit::admit(pod, &node, &others, &allocatable).err()
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Input(uid, input) => {
                if matches!(input, Input::SandboxRemoved | Input::SandboxCreated(Err(_))) {
                    self.release_address(&uid);
                }
                self.input(&uid, input);
            }
            News::Volumes(uid, result) => {
                let answer = match result {
                    Ok(volumes) => {
                        self.keep_volumes(&uid, volumes);
                        Ok(())
                    }
                    Err(message) => Err(message),
                };
                self.input(&uid, Input::VolumesMounted(answer));
            }
            News::Refreshed(uid, volumes) => self.keep_volumes(&uid, volumes),
        }
    }

    fn keep_volumes(&mut self, uid: &str, volumes: Volumes) {
        if let Some(entry) = self.pods.get_mut(uid) {
            entry.volumes = volumes;
            entry.timeout = entry.next();
        }
    }

    fn release_address(&mut self, uid: &str) {
        if let Some(address) = self.pods.get_mut(uid).and_then(|entry| entry.address.take()) {
            self.ipam.release(address);
        }
    }

    async fn on_runtime(&mut self, event: RuntimeEvent) {
        match event {
            // The listing from which its machine will be made is older.
            RuntimeEvent::ContainerExited { id, exit } if !self.listed => self.early_exits.push((id, exit)),
            RuntimeEvent::ContainerExited { id, exit } => self.on_exit(id, exit),
            RuntimeEvent::Reconnected => match self.shared.runtime.list().await {
                Ok(listing) => self.resync(&listing),
                Err(error) => tracing::error!(%error, "runtime not listed after a reconnect"),
            },
        }
    }

    /// The termination message is read off the loop, then the exit is news.
    fn on_exit(&self, id: String, exit: Exit) {
        let uid = uid_of(&id).to_owned();
        let Some(entry) = self.pods.get(&uid) else { return };
        let Some(name) = entry.machine.container_of(&id).map(str::to_owned) else { return };
        let container = entry.machine.container(&name);
        let fall_back = container.and_then(|container| container.termination_message_policy.as_deref());
        let fall_back = fall_back == Some("FallbackToLogsOnError");
        let attempt = id.rsplit('-').next().and_then(|attempt| attempt.parse().ok()).unwrap_or(0);
        let file = self.shared.paths.termination_log(&uid, &name, attempt);
        let log = self.shared.paths.log(entry.machine.pod(), &name, attempt);
        let answers = self.answers.clone();
        tokio::task::spawn_blocking(move || {
            let message = termination::message(&file, &log, fall_back, exit.code != 0);
            // A driver that is gone needs no news.
            let _ = answers.blocking_send(News::Input(uid, Input::Exited { id, exit, message }));
        });
    }

    fn resync(&mut self, listing: &Listing) {
        let mut found = observe::by_pod(listing);
        let now = self.shared.clock.now();
        for uid in self.pods.keys().cloned().collect::<Vec<_>>() {
            let observed = found.remove(&uid).unwrap_or_default().observed;
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.machine.resync(&observed, now);
            }
            self.input(&uid, Input::Timeout);
        }
        for (uid, pod) in found {
            self.remove_orphan(uid, pod);
        }
    }

    fn on_object(&mut self, key: &ObjectKey) {
        for uid in self.shared.objects.pods_of(key) {
            self.input(&uid, Input::Retry);
            self.refresh(&uid);
        }
    }

    fn on_images(&mut self) {
        let runtime = self.shared.runtime.clone();
        let waiting = |entry: &Entry| entry.machine.missing_images().any(|name| runtime.resolve_image(name).is_some());
        let pods: Vec<String> =
            self.pods.iter().filter(|(_, entry)| waiting(entry)).map(|(uid, _)| uid.clone()).collect();
        pods.iter().for_each(|uid| self.input(uid, Input::Retry));
    }

    fn on_time(&mut self) {
        let now = self.shared.clock.now();
        let due = |entry: &&Entry| entry.timeout.is_some_and(|at| at <= now);
        let pods: Vec<String> = self.pods.iter().filter(|(_, entry)| due(entry)).map(|(uid, _)| uid.clone()).collect();
        for uid in pods {
            let refresh = self.pods.get(&uid).is_some_and(|entry| entry.volumes.refresh_at.is_some_and(|at| at <= now));
            if refresh {
                self.refresh(&uid);
            }
            self.input(&uid, Input::Timeout);
        }
    }

    /// Brings the volumes of a pod up to date in the background.
    fn refresh(&mut self, uid: &str) {
        let Some(entry) = self.pods.get_mut(uid).filter(|entry| entry.volumes.mounted.is_some()) else { return };
        // Its answer brings the next time.
        entry.volumes.refresh_at = None;
        let (shared, answers, uid) = (self.shared.clone(), self.answers.clone(), uid.to_owned());
        let (pod, ips, lock) = (entry.machine.pod().clone(), entry.machine.ips().to_vec(), entry.lock.clone());
        let before = entry.volumes.clone();
        tokio::spawn(async move {
            let volumes = match set_up::set_up(&shared, &pod, ips, lock).await {
                Ok(volumes) => volumes,
                Err(error) => {
                    // What is mounted stays as it is; an object that comes back is news again.
                    tracing::info!(pod = uid, error, "volumes not brought up to date");
                    let soon = crate::pod::after(shared.clock.now(), 60);
                    Volumes { refresh_at: Some(soon), ..before }
                }
            };
            let _ = answers.send(News::Refreshed(uid, volumes)).await;
        });
    }

    /// Gives a machine its input and does what it asks for.
    fn input(&mut self, uid: &str, input: Input) {
        let now = self.shared.clock.now();
        let Some(entry) = self.pods.get_mut(uid) else { return };
        entry.machine.handle(input, now);
        let mut effects = Vec::new();
        while let Some(effect) = entry.machine.poll_effect() {
            effects.push(effect);
        }
        entry.timeout = entry.next();
        self.shared.table.put(uid, Row::of(&entry.machine));
        effects.into_iter().for_each(|effect| self.perform(uid, effect));
    }

    fn perform(&mut self, uid: &str, effect: Effect) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        let mut address = None;
        match &effect {
            Effect::Publish { number, status } => return entry.publisher.publish(*number, status.as_ref().clone()),
            Effect::DeleteObject => return entry.publisher.delete(),
            Effect::Finished => return self.forget(uid),
            Effect::Event(event) => return perform::record(&self.shared, entry.machine.pod(), event),
            Effect::CreateSandbox { attempt } => {
                entry.sandbox = sandbox_id(uid, *attempt);
                if !host_network(entry.machine.pod()) {
                    address = self.ipam.allocate();
                    entry.address = address;
                    if address.is_none() {
                        let reason = "no address is free in the node's pod range".to_owned();
                        return self.input(uid, Input::SandboxCreated(Err(reason)));
                    }
                }
            }
            _ => {}
        }
        let (cx, container) = (self.context(uid), self.container(uid, &effect));
        let Some(cx) = cx else { return };
        let (shared, answers) = (self.shared.clone(), self.answers.clone());
        tokio::spawn(async move {
            if let Some(news) = perform::perform(shared, cx, effect, container, address).await {
                // A driver that is gone needs no news.
                let _ = answers.send(news).await;
            }
        });
    }

    fn context(&self, uid: &str) -> Option<Context> {
        let entry = self.pods.get(uid)?;
        let pod = entry.machine.pod().clone();
        let ips = match host_network(&pod) {
            true => self.shared.config.node_ips.clone(),
            false => entry.machine.ips().to_vec(),
        };
        let (sandbox, volumes, lock) = (entry.sandbox.clone(), entry.volumes.clone(), entry.lock.clone());
        Some(Context { pod, uid: uid.to_owned(), ips, sandbox, volumes, lock })
    }

    fn container(&self, uid: &str, effect: &Effect) -> Option<Container> {
        let name = match effect {
            Effect::EnsureImage { container }
            | Effect::StartContainer { container, .. }
            | Effect::RunHook { container, .. }
            | Effect::Probe { container, .. } => container,
            _ => return None,
        };
        self.pods.get(uid)?.machine.container(name).cloned()
    }
}

impl Entry {
    fn next(&self) -> Option<Timestamp> {
        self.machine.poll_timeout().into_iter().chain(self.volumes.refresh_at).min()
    }
}

fn host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
}

/// What a downwardAPI volume may show.
fn downward_changed(old: &Pod, new: &Pod) -> bool {
    old.metadata.labels != new.metadata.labels || old.metadata.annotations != new.metadata.annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_name_their_pod() {
        let uid = "0b1c2d3e-0000-4000-8000-aabbccddeeff";
        let id = crate::pod::container_id(uid, "web", 12);
        assert_eq!(uid_of(&id), uid);
        assert!(
            id.len() <= 63 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
    }
}
