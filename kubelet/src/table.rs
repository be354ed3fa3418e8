//! What the kubelet's server may know about pods: a copy that the driver keeps up to date.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::watch;

use crate::pod::PodMachine;

pub use crate::pod::Instance;

#[derive(Clone, Debug)]
pub struct Row {
    pub pod: Arc<Pod>,
    pub status: PodStatus,
    pub containers: BTreeMap<String, ContainerRow>,
}

#[derive(Clone, Debug, Default)]
pub struct ContainerRow {
    pub current: Option<Instance>,
    pub previous: Option<Instance>,
    pub running: bool,
}

impl Row {
    pub fn of(machine: &PodMachine) -> Row {
        let containers = machine.container_names().map(|name| {
            let (current, previous) = machine.container_ids(name).unwrap_or_default();
            (name.to_owned(), ContainerRow { current, previous, running: machine.is_running(name) })
        });
        Row { pod: machine.pod().clone(), status: machine.status().clone(), containers: containers.collect() }
    }

    pub fn is(&self, namespace: &str, name: &str) -> bool {
        let metadata = &self.pod.metadata;
        metadata.namespace.as_deref() == Some(namespace) && metadata.name.as_deref() == Some(name)
    }
}

#[derive(Clone)]
pub struct Table {
    rows: Arc<RwLock<BTreeMap<String, Row>>>,
    generation: watch::Sender<u64>,
    /// All pods of the node are in it.
    complete: watch::Sender<bool>,
}

impl Default for Table {
    fn default() -> Table {
        Table { rows: Arc::default(), generation: watch::Sender::new(0), complete: watch::Sender::new(false) }
    }
}

impl Table {
    pub fn put(&self, uid: &str, row: Row) {
        self.rows.write().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), row);
        self.generation.send_modify(|generation| *generation += 1);
    }

    pub fn remove(&self, uid: &str) {
        self.rows.write().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// From now on, what is not in it is not on this node.
    pub fn set_complete(&self) {
        self.complete.send_replace(true);
    }

    /// Until all pods are in it: a kubelet that starts learns of them in a moment, while their containers run.
    pub async fn complete(&self, limit: Duration) {
        let mut complete = self.complete.subscribe();
        let _ = tokio::time::timeout(limit, complete.wait_for(|complete| *complete)).await;
    }

    pub fn pod(&self, uid: &str) -> Option<Arc<Pod>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).get(uid).map(|row| row.pod.clone())
    }

    pub fn all(&self) -> Vec<Row> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The youngest pod of that name: an older one may still be going away.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Row> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let named = rows.values().filter(|row| row.is(namespace, name));
        named.max_by_key(|row| row.pod.metadata.creation_timestamp.clone()).cloned()
    }

    fn is_running(&self, uid: &str, container: &str, id: &str) -> bool {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let row = rows.get(uid).and_then(|row| row.containers.get(container));
        row.is_some_and(|row| row.running && row.current.as_ref().is_some_and(|(current, _)| current == id))
    }

    /// Ready when this very container does not run (any more).
    pub async fn ended(&self, uid: &str, container: &str, id: &str) {
        let mut changes = self.generation.subscribe();
        while self.is_running(uid, container, id) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_table_is_waited_for_until_it_is_complete() {
        let table = Table::default();
        // Not for ever.
        table.complete(Duration::from_millis(1)).await;
        let limit = Duration::from_secs(3600);
        let mut waits = std::pin::pin!(table.complete(limit));
        assert!(waits.as_mut().now_or_never().is_none());
        table.set_complete();
        assert!(waits.now_or_never().is_some() && table.complete(limit).now_or_never().is_some());
    }
}
