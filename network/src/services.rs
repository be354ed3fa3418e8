//! The driver: informers in, table changes out.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::Key;
use reconcile::informer::{Change, Informers, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::nft::{PodNetwork, Table};
use crate::rules::{self, Changes, Node, RuleSet};

/// Label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Index of slices by `namespace/name` of their service.
const BY_SERVICE: &str = "service";
/// After a failed transaction.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Config {
    pub node: Node,
    pub pods: PodNetwork,
    /// Name of the nftables table; a letter, then letters, digits and `_`.
    pub table: String,
}

/// Keeps the node's table as the Services say, until cancelled; the table then stays as it is, so that connections go on while
/// the process is replaced. Must be called on a thread in the node's network namespace.
///
/// # Errors
/// When netfilter cannot be used at all. Later failures are retried.
pub async fn run(informers: &Informers, config: Config, cancel: CancellationToken) -> Result<()> {
    let services = informers.start::<Service>();
    let slices = informers.start::<EndpointSlice>();
    slices.add_index(BY_SERVICE, |slice| owning_service(&slice.metadata).into_iter().collect());
    let (dirty, mut touched) = mpsc::unbounded_channel::<String>();
    let sender = dirty.clone();
    services.on_change(move |change: &Change<Service>| {
        // The receiver lives as long as this driver.
        let _ = sender.send(name_of(&current(change).metadata));
    });
    slices.on_change(move |change: &Change<EndpointSlice>| {
        // A slice may change its owner: both services are touched.
        let before =
            if let Change::Applied { old: Some(old), .. } = change { owning_service(&old.metadata) } else { None };
        for service in before.into_iter().chain(owning_service(&current(change).metadata)) {
            let _ = dirty.send(service);
        }
    });
    services.synced().await;
    slices.synced().await;

    let mut proxy = Proxy { services, slices, table: Table::open(&config.table)?, rules: RuleSet::default(), config };
    proxy.replace()?;
    let mut names = Vec::new();
    loop {
        // All that changed meanwhile goes into one transaction.
        tokio::select! {
            _ = touched.recv_many(&mut names, 10_000) => {}
            () = cancel.cancelled() => return Ok(()),
        }
        let changed: BTreeSet<String> = names.drain(..).collect();
        if let Err(error) = proxy.update(&changed) {
            tracing::warn!(%error, services = changed.len(), "changing the service rules failed, writing all of them");
            while let Err(error) = proxy.replace() {
                tracing::error!(%error, "writing the service rules failed, retrying");
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = cancel.cancelled() => return Ok(()),
                }
            }
        }
    }
}

/// Removes a table that `run` made. Does nothing when it is not there.
pub fn remove(table: &str) -> Result<()> {
    Table::open(table)?.remove()
}

struct Proxy {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    table: Table,
    rules: RuleSet,
    config: Config,
}

impl Proxy {
    fn replace(&mut self) -> Result<()> {
        self.rules = RuleSet::default();
        for service in self.services.list() {
            let name = name_of(&service.metadata);
            let rules = self.rules_of(&name);
            self.rules.replace(&name, rules);
        }
        self.table.replace(&self.config.pods, &self.rules.all())
    }

    fn update(&mut self, changed: &BTreeSet<String>) -> Result<()> {
        let mut all = Changes::default();
        for name in changed {
            let rules = self.rules_of(name);
            let changes = self.rules.replace(name, rules);
            all.removed.extend(changes.removed);
            all.set.extend(changes.set);
        }
        // An address may move from one service to another in one step: then it was not removed after all.
        let set: BTreeSet<_> = all.set.iter().map(|(frontend, _, _)| *frontend).collect();
        if all.removed.iter().any(|(frontend, _)| set.contains(frontend)) {
            return self.table.replace(&self.config.pods, &self.rules.all());
        }
        if all.is_empty() { Ok(()) } else { self.table.apply(&all) }
    }

    fn rules_of(&self, name: &str) -> rules::Rules {
        let (namespace, plain) = name.split_once('/').unwrap_or_default();
        let Some(service) = self.services.get(&Key::namespaced(namespace, plain)) else { return rules::Rules::new() };
        let slices = self.slices.by_index(BY_SERVICE, name);
        rules::of_service(&service, slices.iter().map(|slice| &**slice), &self.config.node)
    }
}

fn current<K>(change: &Change<K>) -> &K {
    match change {
        Change::Applied { new, .. } => new,
        Change::Deleted(last) => last,
    }
}

fn name_of(metadata: &ObjectMeta) -> String {
    format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn owning_service(metadata: &ObjectMeta) -> Option<String> {
    let name = metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(format!("{}/{name}", metadata.namespace.as_deref().unwrap_or_default()))
}
