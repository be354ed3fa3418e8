//! Which nodes an object leads to.
//!
//! Pods lead to their node and are led to by what they use; a PersistentVolume is led to by its Secrets and leads to its claim.
//! Each object has the nodes of the pods that use it counted, so a question costs one look, or one for each volume that names
//! the Secret.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::references::{OfNode, PersistentVolume, Pod};
use crate::cache::{Follower, Stored};

/// What may lead to a node, by the resource's part of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Secret,
    ConfigMap,
    ServiceAccount,
    Claim,
    ResourceClaim,
    Pod,
    Volume,
    Attachment,
    Slice,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
            Self::ServiceAccount => "serviceaccounts",
            Self::Claim => "persistentvolumeclaims",
            Self::ResourceClaim => "resourceclaims",
            Self::Pod => "pods",
            Self::Volume => "persistentvolumes",
            Self::Attachment => "volumeattachments",
            Self::Slice => "resourceslices",
        }
    }

    /// Of those that are followed.
    fn of_resource(resource: &str) -> Option<Self> {
        Some(match resource {
            "core/pods" => Self::Pod,
            "core/persistentvolumes" => Self::Volume,
            "storage.k8s.io/volumeattachments" => Self::Attachment,
            "resource.k8s.io/resourceslices" => Self::Slice,
            _ => return None,
        })
    }
}

/// An object, which need not exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vertex {
    kind: Kind,
    /// `[namespace/]name`.
    key: Arc<str>,
}

impl Vertex {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let key = if namespace.is_empty() { name.into() } else { format!("{namespace}/{name}").into() };
        Self { kind, key }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Vertex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.key)
    }
}

/// Kept true by the watch caches.
#[derive(Debug, Default)]
pub struct Graph {
    edges: RwLock<Edges>,
}

#[derive(Debug, Default)]
struct Edges {
    /// Of what is bound to one node by itself: the node, and what leads there by it.
    bound: HashMap<Vertex, (Arc<str>, Box<[Vertex]>)>,
    /// How many bound objects lead from here to a node.
    nodes: HashMap<Vertex, BTreeMap<Arc<str>, u32>>,
    volumes: HashMap<Vertex, Volume>,
    /// The volumes that name a Secret.
    mounted_with: HashMap<Vertex, BTreeSet<Vertex>>,
}

#[derive(Debug)]
struct Volume {
    claim: Vertex,
    secrets: Vec<Vertex>,
}

impl Graph {
    fn read(&self) -> RwLockReadGuard<'_, Edges> {
        // A change that panicked half-way could only have led to less.
        self.edges.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an object leads to a node.
    pub fn leads(&self, kind: Kind, namespace: &str, name: &str, node: &str) -> bool {
        self.read().leads(&Vertex::new(kind, namespace, name), node)
    }
}

impl Follower for Graph {
    fn loaded(&self, resource: &str, objects: &BTreeMap<Box<str>, Arc<Stored>>) {
        let Some(kind) = Kind::of_resource(resource) else { return };
        let mut edges = self.edges.write().unwrap_or_else(PoisonError::into_inner);
        edges.clear(kind);
        objects.iter().for_each(|(key, stored)| edges.set(kind, key, Some(&stored.json)));
    }

    fn changed(&self, resource: &str, key: &str, current: Option<&Stored>) {
        let Some(kind) = Kind::of_resource(resource) else { return };
        let mut edges = self.edges.write().unwrap_or_else(PoisonError::into_inner);
        edges.set(kind, key, current.map(|stored| &*stored.json));
    }
}

impl Edges {
    fn leads(&self, from: &Vertex, node: &str) -> bool {
        let direct = self.nodes.get(from).is_some_and(|nodes| nodes.contains_key(node));
        direct
            || match from.kind {
                Kind::Volume => self.volumes.get(from).is_some_and(|volume| self.leads(&volume.claim, node)),
                Kind::Secret => {
                    self.mounted_with.get(from).into_iter().flatten().any(|volume| self.leads(volume, node))
                }
                _ => false,
            }
    }

    fn clear(&mut self, kind: Kind) {
        let there = self.bound.keys().chain(self.volumes.keys()).filter(|vertex| vertex.kind == kind);
        for vertex in there.cloned().collect::<Vec<_>>() {
            self.remove(&vertex);
        }
    }

    /// What cannot be read leads nowhere.
    fn set(&mut self, kind: Kind, key: &str, json: Option<&[u8]>) {
        let vertex = Vertex { kind, key: key.into() };
        self.remove(&vertex);
        let Some(json) = json else { return };
        let added = match kind {
            Kind::Pod => serde_json::from_slice::<Pod>(json).map(|pod| {
                if !pod.node().is_empty() {
                    self.bind(vertex.clone(), pod.node(), pod.references());
                }
            }),
            Kind::Volume => serde_json::from_slice::<PersistentVolume>(json).map(|volume| {
                volume.claim().into_iter().for_each(|claim| self.mount(vertex.clone(), claim, volume.secrets()));
            }),
            _ => serde_json::from_slice::<OfNode>(json).map(|object| {
                if !object.node().is_empty() {
                    self.bind(vertex.clone(), object.node(), Vec::new());
                }
            }),
        };
        if let Err(error) = added {
            tracing::error!(%error, %vertex, "what nodes are authorized by is unreadable");
        }
    }

    fn bind(&mut self, vertex: Vertex, node: &str, mut uses: Vec<Vertex>) {
        uses.push(vertex.clone());
        uses.sort_unstable();
        uses.dedup();
        let node: Arc<str> = node.into();
        for used in &uses {
            *self.nodes.entry(used.clone()).or_default().entry(node.clone()).or_default() += 1;
        }
        self.bound.insert(vertex, (node, uses.into()));
    }

    fn mount(&mut self, vertex: Vertex, claim: Vertex, secrets: Vec<Vertex>) {
        for secret in &secrets {
            self.mounted_with.entry(secret.clone()).or_default().insert(vertex.clone());
        }
        self.volumes.insert(vertex, Volume { claim, secrets });
    }

    fn remove(&mut self, vertex: &Vertex) {
        if let Some((node, uses)) = self.bound.remove(vertex) {
            for used in &uses {
                self.release(used, &node);
            }
        }
        let secrets = self.volumes.remove(vertex).map(|volume| volume.secrets).unwrap_or_default();
        for secret in secrets {
            if let Some(volumes) = self.mounted_with.get_mut(&secret) {
                volumes.remove(vertex);
                if volumes.is_empty() {
                    self.mounted_with.remove(&secret);
                }
            }
        }
    }

    fn release(&mut self, used: &Vertex, node: &str) {
        let Some(nodes) = self.nodes.get_mut(used) else { return };
        if let Some(count) = nodes.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(node);
            }
        }
        if nodes.is_empty() {
            self.nodes.remove(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn set(edges: &mut Edges, kind: Kind, key: &str, object: Option<Value>) {
        edges.set(kind, key, object.map(|object| object.to_string().into_bytes()).as_deref());
    }

    fn pod(name: &str, node: &str) -> Option<Value> {
        let claim = json!({"persistentVolumeClaim": {"claimName": "c"}, "name": "v"});
        let spec = json!({"nodeName": node, "imagePullSecrets": [{"name": "s"}, {"name": "s"}], "volumes": [claim]});
        Some(json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec}))
    }

    #[test]
    fn what_pods_use_leads_to_their_nodes_while_they_are_there() {
        let mut edges = Edges::default();
        let leads = |edges: &Edges, kind, name: &str, node: &str| {
            let namespace = if kind == Kind::Volume { "" } else { "n" };
            edges.leads(&Vertex::new(kind, namespace, name), node)
        };
        let volume = json!({"spec": {"claimRef": {"namespace": "n", "name": "c"},
            "csi": {"nodeStageSecretRef": {"namespace": "n", "name": "t"}}}});
        set(&mut edges, Kind::Volume, "v", Some(volume));
        set(&mut edges, Kind::Pod, "n/a", pod("a", ""));
        assert!(!leads(&edges, Kind::Secret, "s", ""), "bound to nothing");
        set(&mut edges, Kind::Pod, "n/a", pod("a", "w"));
        set(&mut edges, Kind::Pod, "n/b", pod("b", "w"));
        set(&mut edges, Kind::Pod, "n/c", pod("c", "x"));
        for (kind, name) in
            [(Kind::Secret, "s"), (Kind::Claim, "c"), (Kind::Volume, "v"), (Kind::Secret, "t"), (Kind::Pod, "a")]
        {
            assert!(leads(&edges, kind, name, "w"), "{kind:?} {name}");
            assert!(!leads(&edges, kind, name, "y"), "{kind:?} {name}");
        }
        assert!(!leads(&edges, Kind::Pod, "a", "x") && !leads(&edges, Kind::ConfigMap, "s", "w"));
        set(&mut edges, Kind::Pod, "n/a", None);
        assert!(leads(&edges, Kind::Secret, "t", "w"), "the other pod is there");
        set(&mut edges, Kind::Pod, "n/b", None);
        assert!(!leads(&edges, Kind::Secret, "t", "w") && leads(&edges, Kind::Secret, "t", "x"));
        set(&mut edges, Kind::Volume, "v", None);
        assert!(!leads(&edges, Kind::Secret, "t", "x") && leads(&edges, Kind::Claim, "c", "x"));
        edges.clear(Kind::Pod);
        let Edges { bound, nodes, volumes, mounted_with } = edges;
        assert_eq!((bound.len(), nodes.len(), volumes.len(), mounted_with.len()), (0, 0, 0, 0), "nothing is left");
    }
}
