//! The policies of a running server: follows the watch caches, so that a policy is in force when it can be seen.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::object::{Binding, Expressions, Policy};
use crate::admission::followed::{Followed, Ready};
use crate::cache::{Follower, Stored};

/// A policy with all that bind it: by one that nothing binds, nobody is bound.
pub struct Hook<E> {
    pub policy: Arc<Policy<E>>,
    pub bindings: Vec<Arc<Binding>>,
}

/// Those of one of the two kinds.
pub struct Index<E> {
    state: RwLock<State<E>>,
    ready: Ready,
}

struct State<E> {
    policies: Followed<Policy<E>>,
    bindings: Followed<Binding>,
    /// By the name of the policy. What requests read.
    hooks: Arc<[Hook<E>]>,
}

impl<E: Expressions> Default for Index<E> {
    fn default() -> Self {
        let state = State {
            policies: Followed::new(E::POLICIES, Policy::read),
            bindings: Followed::new(E::BINDINGS, Binding::read),
            hooks: Arc::new([]),
        };
        Self { state: RwLock::new(state), ready: Ready::default() }
    }
}

impl<E: Expressions> Index<E> {
    /// `None` when the server has not read its policies in time.
    pub async fn hooks(&self) -> Option<Arc<[Hook<E>]>> {
        // The hooks are put as a whole.
        let hooks = || self.state.read().unwrap_or_else(PoisonError::into_inner).hooks.clone();
        self.ready.wait().await.then(hooks)
    }

    fn change(&self, change: impl FnOnce(&mut State<E>)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let hook = |policy: &Arc<Policy<E>>| {
            let bound = state.bindings.values().filter(|binding| binding.policy == policy.name);
            Hook { policy: policy.clone(), bindings: bound.cloned().collect() }
        };
        state.hooks = state.policies.values().map(hook).filter(|hook| !hook.bindings.is_empty()).collect();
        self.ready.set(state.policies.is_loaded() && state.bindings.is_loaded());
    }

    fn follows(&self, resource: &str) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.policies.is(resource) || state.bindings.is(resource)
    }
}

impl<E: Expressions> Follower for Index<E> {
    fn loaded(&self, resource: &str, objects: &BTreeMap<Box<str>, Arc<Stored>>) {
        if self.follows(resource) {
            self.change(|state| match state.policies.is(resource) {
                true => state.policies.load(objects),
                false => state.bindings.load(objects),
            });
        }
    }

    fn changed(&self, resource: &str, key: &str, current: Option<&Stored>) {
        if self.follows(resource) {
            self.change(|state| match state.policies.is(resource) {
                true => state.policies.change(key, current),
                false => state.bindings.change(key, current),
            });
        }
    }
}
