//! What a node has besides its kubelet: containers, and their addresses. It outlives the kubelet's crash as a launcher does,
//! and loses everything when the machine dies.
//!
//! What a container does is in the name of its image: `web:V` runs until it is told to stop, `slow:V` takes some time to be
//! ready, `stubborn:V` does not listen to SIGTERM, `job:SECONDS:CODE` ends by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::Pod;
use kubelet::launch::resources::pod_request;
use kubelet::pod::{ImageRef, Observed, ObservedContainer, ObservedSandbox};
use runtime::spec::{ContainerState, Exit, ProcessId};
use tokio::sync::mpsc::UnboundedSender;

use crate::clock::{self, MILLISECOND, SECOND};
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub struct Container {
    /// `namespace/name` of its pod, and its uid.
    pub pod: String,
    pub uid: String,
    pub name: String,
    pub attempt: u32,
    pub image_name: String,
    pub image: ImageRef,
    pub state: ContainerState,
    /// What its pod asks for, in thousandths of a CPU.
    pub cpu: i64,
    pub started: u64,
    /// When it ends, and how.
    ends: Option<(u64, i32)>,
}

impl Container {
    pub fn runs(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }
}

pub struct Hardware {
    containers: BTreeMap<String, Container>,
    /// What runs may be another than when it was last asked.
    changed: bool,
    /// By the uid of the pod: attempt and address.
    sandboxes: BTreeMap<String, (u32, IpAddr)>,
    /// Starting takes long until then.
    pub slow_until: u64,
    /// The kubelet that listens.
    listener: Option<UnboundedSender<(String, Exit)>>,
    rng: Rng,
    range: u8,
    addresses: u8,
}

impl Hardware {
    /// `range`: which pod addresses it gives out.
    pub fn new(seed: u64, name: &str, range: u8) -> Hardware {
        Hardware {
            containers: BTreeMap::new(),
            changed: false,
            sandboxes: BTreeMap::new(),
            slow_until: 0,
            listener: None,
            rng: Rng::new(seed, name),
            range,
            addresses: 1,
        }
    }

    pub fn listen(&mut self, listener: UnboundedSender<(String, Exit)>) {
        self.listener = Some(listener);
    }

    /// The machine dies.
    pub fn lose_everything(&mut self) {
        self.changed = true;
        self.containers.clear();
        self.sandboxes.clear();
        self.listener = None;
    }

    /// How long some work of the runtime takes.
    pub fn pause(&mut self) -> std::time::Duration {
        let most = if self.slow_until > clock::now() { 8 * SECOND } else { 30 * MILLISECOND };
        std::time::Duration::from_nanos(self.rng.between(MILLISECOND, most))
    }

    pub fn create_sandbox(&mut self, uid: &str, attempt: u32) -> IpAddr {
        self.addresses = self.addresses.wrapping_add(1).max(2);
        let address = IpAddr::V4(Ipv4Addr::new(10, 244, self.range, self.addresses));
        self.sandboxes.insert(uid.to_owned(), (attempt, address));
        address
    }

    /// With all that is in it.
    pub fn remove_sandbox(&mut self, uid: &str) {
        self.changed = true;
        self.sandboxes.remove(uid);
        self.containers.retain(|_, container| container.uid != uid);
    }

    pub fn remove_container(&mut self, id: &str) {
        self.changed = true;
        self.containers.remove(id);
    }

    /// Whether another set of containers may run than at the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(|container| container.runs())
    }

    /// # Errors
    /// What the kubelet is told when it cannot be.
    pub fn start(&mut self, pod: &Pod, name: &str, id: &str, attempt: u32, image: ImageRef) -> Result<(), String> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if !self.sandboxes.contains_key(&uid) {
            return Err("no sandbox".to_owned());
        }
        if self.containers.contains_key(id) {
            return Err(format!("{id} exists"));
        }
        let image_name = image.reference.clone();
        let state = ContainerState::Running {
            process: ProcessId { pid: 2, start_time: clock::now() / MILLISECOND },
            started_at_ns: clock::wall(),
        };
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let container = Container {
            pod: format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name)),
            uid,
            name: name.to_owned(),
            attempt,
            ends: lifetime(&image_name),
            image_name,
            image,
            state,
            cpu: pod.spec.as_ref().map_or(0, |spec| pod_request(spec, "cpu")),
            started: clock::now(),
        };
        self.containers.insert(id.to_owned(), container);
        self.changed = true;
        Ok(())
    }

    /// Whether a container of this image would pass its readiness probe.
    pub fn is_ready(&self, id: &str) -> bool {
        self.containers.get(id).is_some_and(|container| {
            let warms_up = container.image_name.starts_with("slow:");
            container.runs() && (!warms_up || clock::now() >= container.started + 3 * SECOND)
        })
    }

    /// False when it does not run (any more).
    pub fn signal(&mut self, id: &str, kill: bool) -> bool {
        let wait = if kill { 5 * MILLISECOND } else { self.rng.between(MILLISECOND, 2 * SECOND) };
        let Some(container) = self.containers.get_mut(id).filter(|container| container.runs()) else { return false };
        if kill || !container.image_name.starts_with("stubborn:") {
            let code = if kill { 137 } else { 143 };
            let at = clock::now() + wait;
            container.ends = Some(container.ends.filter(|(ends, _)| *ends <= at).unwrap_or((at, code)));
        }
        true
    }

    /// A container ends by itself.
    pub fn exit(&mut self, index: usize, code: i32) -> Option<String> {
        let running: Vec<String> =
            self.containers.iter().filter(|(_, container)| container.runs()).map(|(id, _)| id.clone()).collect();
        let id = running.get(index % running.len().max(1))?;
        self.containers.get_mut(id)?.ends = Some((clock::now(), code));
        Some(id.clone())
    }

    pub fn exit_of(&self, id: &str) -> Option<Exit> {
        match &self.containers.get(id)?.state {
            ContainerState::Exited(exit) => Some(exit.clone()),
            _ => None,
        }
    }

    /// Ends what is due; true when the kubelet has news.
    pub fn tick(&mut self) -> bool {
        let mut news = false;
        for (id, container) in &mut self.containers {
            let Some((_, code)) = container.ends.filter(|(at, _)| *at <= clock::now()) else { continue };
            let ContainerState::Running { started_at_ns, .. } = container.state else { continue };
            let exit = Exit {
                code,
                signal: (code > 128).then(|| code - 128),
                oom_killed: false,
                started_at_ns,
                finished_at_ns: clock::wall(),
                start_error: None,
            };
            container.state = ContainerState::Exited(exit.clone());
            self.changed = true;
            if let Some(listener) = &self.listener {
                news |= listener.send((id.clone(), exit)).is_ok();
            }
        }
        news
    }

    /// What a kubelet finds when it starts, by the uid of the pod.
    pub fn found(&self) -> BTreeMap<String, Observed> {
        let mut found: BTreeMap<String, Observed> = BTreeMap::new();
        for (uid, (attempt, address)) in &self.sandboxes {
            found.entry(uid.clone()).or_default().sandbox =
                Some(ObservedSandbox { attempt: *attempt, ready: true, ips: vec![*address] });
        }
        for (id, container) in &self.containers {
            found.entry(container.uid.clone()).or_default().containers.push(ObservedContainer {
                id: id.clone(),
                name: container.name.clone(),
                attempt: container.attempt,
                image_name: container.image_name.clone(),
                image: container.image.clone(),
                state: container.state.clone(),
                message: None,
            });
        }
        found
    }
}

fn lifetime(image: &str) -> Option<(u64, i32)> {
    let (seconds, code) = image.strip_prefix("job:")?.split_once(':')?;
    Some((clock::now() + seconds.parse::<u64>().ok()? * SECOND, code.parse().ok()?))
}
