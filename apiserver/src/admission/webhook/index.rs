//! The webhooks of a running server: follows the watch caches, as the policies do.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::object::Webhook;
use crate::admission::followed::{Followed, Ready};
use crate::cache::{Follower, Stored};

type Configuration = Vec<Arc<Webhook>>;

/// Those of one of the two kinds.
pub struct Index {
    state: RwLock<State>,
    ready: Ready,
}

struct State {
    configurations: Followed<Configuration>,
    /// By the name of the configuration, then in its order. What requests read.
    hooks: Arc<[Arc<Webhook>]>,
}

impl Index {
    pub fn new(resource: &'static str) -> Self {
        let configurations = Followed::new(resource, Webhook::read_all);
        Self { state: RwLock::new(State { configurations, hooks: Arc::default() }), ready: Ready::default() }
    }

    pub fn mutating() -> Self {
        Self::new("admissionregistration.k8s.io/mutatingwebhookconfigurations")
    }

    pub fn validating() -> Self {
        Self::new("admissionregistration.k8s.io/validatingwebhookconfigurations")
    }

    /// `None` when the server has not read its webhooks in time.
    pub async fn hooks(&self) -> Option<Arc<[Arc<Webhook>]>> {
        let hooks = || self.state.read().unwrap_or_else(PoisonError::into_inner).hooks.clone();
        self.ready.wait().await.then(hooks)
    }

    fn change(&self, resource: &str, change: impl FnOnce(&mut Followed<Configuration>)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !state.configurations.is(resource) {
            return;
        }
        change(&mut state.configurations);
        state.hooks = state.configurations.values().flat_map(|hooks| hooks.iter().cloned()).collect();
        self.ready.set(state.configurations.is_loaded());
    }
}

impl Follower for Index {
    fn loaded(&self, resource: &str, objects: &BTreeMap<Box<str>, Arc<Stored>>) {
        self.change(resource, |configurations| configurations.load(objects));
    }

    fn changed(&self, resource: &str, key: &str, current: Option<&Stored>) {
        self.change(resource, |configurations| configurations.change(key, current));
    }
}
