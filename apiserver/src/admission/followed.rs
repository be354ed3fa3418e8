//! Objects of one kind that admission goes by, as the watch cache shows them, read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::cache::Stored;

/// How long a request waits for what a server that starts has to read.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Followed<T> {
    /// Its part of keys: `admissionregistration.k8s.io/...`.
    resource: &'static str,
    /// By the name of the object.
    read: fn(&str, &Value) -> T,
    all: BTreeMap<Box<str>, Arc<T>>,
    loaded: bool,
}

impl<T> Followed<T> {
    pub fn new(resource: &'static str, read: fn(&str, &Value) -> T) -> Self {
        Self { resource, read, all: BTreeMap::new(), loaded: false }
    }

    pub fn is(&self, resource: &str) -> bool {
        self.resource == resource
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// By name.
    pub fn values(&self) -> impl Iterator<Item = &Arc<T>> {
        self.all.values()
    }

    /// These are all.
    pub fn load(&mut self, objects: &BTreeMap<Box<str>, Arc<Stored>>) {
        self.all.clear();
        objects.iter().for_each(|(key, stored)| self.change(key, Some(stored)));
        self.loaded = true;
    }

    /// What cannot be read is as if it were not there.
    pub fn change(&mut self, key: &str, current: Option<&Stored>) {
        let unreadable = |error: &serde_json::Error| {
            tracing::error!(%error, resource = self.resource, key, "what admission goes by is unreadable");
        };
        let parse = |stored: &Stored| serde_json::from_slice::<Value>(&stored.json).inspect_err(unreadable).ok();
        match current.and_then(parse) {
            Some(object) => self.all.insert(key.into(), Arc::new((self.read)(key, &object))),
            None => self.all.remove(key),
        };
    }
}

/// Whether everything is loaded.
#[derive(Default)]
pub struct Ready(watch::Sender<bool>);

impl Ready {
    pub fn set(&self, ready: bool) {
        self.0.send_replace(ready);
    }

    /// Waits for it, but not for ever; answers with what is then.
    pub async fn wait(&self) -> bool {
        if *self.0.borrow() {
            return true;
        }
        let mut ready = self.0.subscribe();
        matches!(tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready)).await, Ok(Ok(_)))
    }
}
