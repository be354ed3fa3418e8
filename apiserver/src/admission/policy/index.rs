//! The policies of a running server: follows the watch caches, so that a policy is in force when it can be seen.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::object::{Binding, Policy};
use crate::cache::{Follower, Stored};

const POLICIES: &str = "admissionregistration.k8s.io/validatingadmissionpolicies";
const BINDINGS: &str = "admissionregistration.k8s.io/validatingadmissionpolicybindings";
/// How long a request waits for the policies of a server that starts.
const PATIENCE: Duration = Duration::from_secs(10);

/// A policy with all that bind it: by one that nothing binds, nobody is bound.
#[derive(Clone)]
pub struct Hook {
    pub policy: Arc<Policy>,
    pub bindings: Vec<Arc<Binding>>,
}

#[derive(Default)]
pub struct Index {
    state: RwLock<State>,
    ready: watch::Sender<Loaded>,
}

#[derive(Default)]
struct State {
    policies: BTreeMap<Box<str>, Arc<Policy>>,
    bindings: BTreeMap<Box<str>, Arc<Binding>>,
    /// By the name of the policy. What requests read.
    hooks: Arc<[Hook]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Loaded {
    policies: bool,
    bindings: bool,
}

impl Loaded {
    fn all(self) -> bool {
        self.policies && self.bindings
    }
}

impl Index {
    /// `None` when the server has not read its policies in time.
    pub async fn hooks(&self) -> Option<Arc<[Hook]>> {
        if !self.ready.borrow().all() {
            let mut ready = self.ready.subscribe();
            let waited = tokio::time::timeout(PATIENCE, ready.wait_for(|loaded| loaded.all())).await;
            waited.ok()?.ok()?;
        }
        // The hooks are put as a whole.
        Some(self.state.read().unwrap_or_else(PoisonError::into_inner).hooks.clone())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let hook = |policy: &Arc<Policy>| {
            let bound = state.bindings.values().filter(|binding| binding.policy == policy.name);
            Hook { policy: policy.clone(), bindings: bound.cloned().collect() }
        };
        state.hooks = state.policies.values().map(hook).filter(|hook| !hook.bindings.is_empty()).collect();
    }
}

impl Follower for Index {
    fn loaded(&self, resource: &str, objects: &BTreeMap<Box<str>, Arc<Stored>>) {
        let mut loaded = *self.ready.borrow();
        match resource {
            POLICIES => {
                self.change(|state| state.policies = read_all(objects, Policy::read));
                loaded.policies = true;
            }
            BINDINGS => {
                self.change(|state| state.bindings = read_all(objects, Binding::read));
                loaded.bindings = true;
            }
            _ => return,
        }
        self.ready.send_replace(loaded);
    }

    fn changed(&self, resource: &str, key: &str, current: Option<&Stored>) {
        match resource {
            POLICIES => self.change(|state| put(&mut state.policies, key, current, Policy::read)),
            BINDINGS => self.change(|state| put(&mut state.bindings, key, current, Binding::read)),
            _ => {}
        }
    }
}

type Read<T> = fn(&str, &Value) -> T;

fn read_all<T>(objects: &BTreeMap<Box<str>, Arc<Stored>>, read: Read<T>) -> BTreeMap<Box<str>, Arc<T>> {
    let mut all = BTreeMap::new();
    for (key, stored) in objects {
        put(&mut all, key, Some(stored), read);
    }
    all
}

fn put<T>(all: &mut BTreeMap<Box<str>, Arc<T>>, key: &str, current: Option<&Stored>, read: Read<T>) {
    let unreadable = |error: &serde_json::Error| tracing::error!(%error, key, "a policy or binding is unreadable");
    let parse = |stored: &Stored| serde_json::from_slice::<Value>(&stored.json).inspect_err(unreadable).ok();
    match current.and_then(parse) {
        Some(object) => all.insert(key.into(), Arc::new(read(key, &object))),
        None => all.remove(key),
    };
}
