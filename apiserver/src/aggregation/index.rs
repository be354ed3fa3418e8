//! All APIServices, and the definitions that some are made for, as the watch cache shows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use api::meta::Meta;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::SERVICES;
use super::documents::Documents;
use crate::cache::{Follower, Stored};
use crate::outbound::tls::Trust;
use crate::registry::DEFINITIONS;

/// One APIService.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiService {
    pub name: String,
    pub group: String,
    pub version: String,
    pub group_priority: i64,
    pub version_priority: i64,
    /// `None`: it is served here.
    pub remote: Option<Remote>,
    pub available: bool,
    /// The object.
    pub object: Value,
}

/// Where another server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Remote {
    pub namespace: String,
    pub name: String,
    pub port: u16,
    pub trust: Trust,
}

impl Remote {
    /// The name in its certificate.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl ApiService {
    pub fn read(object: Value) -> Self {
        let spec = &object["spec"];
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let service = &spec["service"];
        let remote = service.is_object().then(|| Remote {
            namespace: text(service, "namespace"),
            name: text(service, "name"),
            port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            trust: match spec["insecureSkipTLSVerify"] == true {
                true => Trust::Anybody,
                false => Trust::Bundle(STANDARD.decode(text(spec, "caBundle")).unwrap_or_default()),
            },
        });
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let available =
            conditions.into_iter().any(|condition| condition["type"] == "Available" && condition["status"] == "True");
        Self {
            name: object.name().to_owned(),
            group: text(spec, "group"),
            version: text(spec, "version"),
            group_priority: spec["groupPriorityMinimum"].as_i64().unwrap_or_default(),
            version_priority: spec["versionPriority"].as_i64().unwrap_or_default(),
            remote,
            available,
            object,
        }
    }
}

/// What a definition serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Definition {
    group: String,
    versions: Vec<String>,
}

#[derive(Default)]
struct State {
    services: BTreeMap<Box<str>, Arc<ApiService>>,
    definitions: BTreeMap<Box<str>, Definition>,
    /// Whether each of the two was read.
    loaded: (bool, bool),
}

#[derive(Default)]
pub(crate) struct Index {
    state: RwLock<State>,
    /// Counts changes of what is here, and of the Services and endpoints that lead to other servers.
    changed: watch::Sender<u64>,
    /// What other servers tell about themselves.
    pub(super) documents: Documents,
    /// Merged documents of the last ones that were asked for.
    pub(super) merged: Mutex<BTreeMap<String, (bytes::Bytes, bytes::Bytes)>>,
}

impl Index {
    pub fn get(&self, name: &str) -> Option<Arc<ApiService>> {
        self.read(|state| state.services.get(name).cloned())
    }

    pub fn services(&self) -> Vec<Arc<ApiService>> {
        self.read(|state| state.services.values().cloned().collect())
    }

    /// Those that others serve.
    pub fn remotes(&self) -> Vec<Arc<ApiService>> {
        self.read(|state| state.services.values().filter(|service| service.remote.is_some()).cloned().collect())
    }

    /// Who else answers requests to this path (`/apis/<group>/<version>/...`).
    pub fn remote_of(&self, path: &str) -> Option<Arc<ApiService>> {
        let mut parts = path.strip_prefix("/apis/")?.splitn(3, '/');
        let (group, version) = (parts.next()?, parts.next()?);
        self.read(|state| {
            let service = state.services.get(format!("{version}.{group}").as_str())?;
            service.remote.is_some().then(|| service.clone())
        })
    }

    /// Group and version of what definitions serve; `None` until all are known.
    pub fn defined(&self) -> Option<Vec<(String, String)>> {
        self.read(|state| {
            let all = state.definitions.values();
            let served = all.flat_map(|one| one.versions.iter().map(|version| (one.group.clone(), version.clone())));
            (state.loaded == (true, true)).then(|| served.collect())
        })
    }

    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn read<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, with: impl FnOnce(&mut State)) {
        with(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|count| *count += 1);
    }

    /// Whether a Service leads to another server.
    fn leads_on(&self, namespace: &str, name: &str) -> bool {
        let leads = |remote: &Remote| remote.namespace == namespace && remote.name == name;
        self.read(|state| state.services.values().any(|service| service.remote.as_ref().is_some_and(leads)))
    }
}

fn service(stored: &Stored) -> Option<Arc<ApiService>> {
    let unreadable =
        |error: &serde_json::Error| tracing::error!(%error, name = %stored.name, "an APIService is unreadable");
    let object = serde_json::from_slice(&stored.json).inspect_err(unreadable).ok()?;
    Some(Arc::new(ApiService::read(object)))
}

/// The schemas are not looked at.
fn definition(stored: &Stored) -> Definition {
    #[derive(Deserialize)]
    struct Object {
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Spec {
        group: String,
        versions: Vec<Version>,
    }
    #[derive(Deserialize)]
    struct Version {
        name: String,
        served: bool,
    }
    let Ok(Object { spec }) = serde_json::from_slice::<Object>(&stored.json) else { return Definition::default() };
    let served = spec.versions.into_iter().filter(|version| version.served);
    Definition { group: spec.group, versions: served.map(|version| version.name).collect() }
}

impl Follower for Index {
    fn loaded(&self, resource: &str, objects: &BTreeMap<Box<str>, Arc<Stored>>) {
        match resource {
            SERVICES => self.write(|state| {
                let services = objects.iter().filter_map(|(key, stored)| Some((key.clone(), service(stored)?)));
                state.services = services.collect();
                state.loaded.0 = true;
            }),
            DEFINITIONS => self.write(|state| {
                state.definitions = objects.iter().map(|(key, stored)| (key.clone(), definition(stored))).collect();
                state.loaded.1 = true;
            }),
            "core/services" | "discovery.k8s.io/endpointslices" => self.write(|_| {}),
            _ => {}
        }
    }

    fn changed(&self, resource: &str, key: &str, current: Option<&Stored>) {
        match resource {
            SERVICES => self.write(|state| match current.and_then(service) {
                Some(service) => drop(state.services.insert(key.into(), service)),
                None => drop(state.services.remove(key)),
            }),
            DEFINITIONS => {
                let now = current.map(definition);
                if self.read(|state| state.definitions.get(key) != now.as_ref()) {
                    self.write(|state| match now {
                        Some(now) => drop(state.definitions.insert(key.into(), now)),
                        None => drop(state.definitions.remove(key)),
                    });
                }
            }
            "core/services" => {
                let (namespace, name) = key.split_once('/').unwrap_or_default();
                if self.leads_on(namespace, name) {
                    self.write(|_| {});
                }
            }
            "discovery.k8s.io/endpointslices" => {
                // A slice is called by its Service and some letters.
                let (namespace, name) = key.split_once('/').unwrap_or_default();
                let leads = |remote: &Remote| remote.namespace == namespace && name.starts_with(&remote.name);
                let services =
                    |state: &State| state.services.values().any(|service| service.remote.as_ref().is_some_and(leads));
                if self.read(services) {
                    self.write(|_| {});
                }
            }
            _ => {}
        }
    }
}
