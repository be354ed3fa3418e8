//! Writes that are counted, and that go on while the API server is killed and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::objects::text;
use crate::{Api, Cluster, eventually};

/// The annotation that counts the writes of all objects.
pub const VALUE: &str = "setpoint.dev/value";
/// How often a cluster compacts its history whose clients must stand it.
pub const COMPACTION: &str = "--compaction-interval=300ms";

/// Objects of each target that come and go.
const NAMES: u64 = 4;
/// Of the writes to one object, one in so many is a deletion.
const LIFE: u64 = 6;
/// Writes that a crash of the server meets.
const BEFORE_A_CRASH: u64 = 25;

/// A kind that is written to.
#[derive(Clone, Debug)]
pub struct Target {
    pub kind: &'static str,
    /// Of the collection.
    pub path: String,
    /// Somebody else writes to such objects, too.
    pub shared: bool,
    /// Somebody's finalizer keeps it for a while after its deletion.
    pub lingers: bool,
    /// An object, without its name and annotations.
    pub object: Value,
}

/// An acknowledged write, or one that was found to have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// ADDED, MODIFIED or DELETED, as watches call it.
    pub what: &'static str,
    pub kind: &'static str,
    pub name: String,
    pub uid: String,
    /// The count of the last write to the object; a deletion does not change it.
    pub value: u64,
    pub shared: bool,
}

/// Writes one thing after the other to objects that nobody else makes.
pub struct Writer {
    api: Api,
    targets: Vec<Target>,
    turn: u64,
    value: u64,
    live: BTreeMap<(usize, String), Change>,
    /// Deleted, and not gone yet.
    ending: BTreeSet<(usize, String)>,
    changes: Vec<Change>,
    /// Nobody is there who could end what lingers: such objects are left alone.
    pub alone: bool,
}

impl Writer {
    pub fn new(cluster: &Cluster, targets: Vec<Target>) -> Result<Self> {
        let api = Api::new(&cluster.kubeconfig(), &cluster.namespace)?;
        let (live, ending) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { api, targets, turn: 0, value: 0, live, ending, changes: Vec::new(), alone: false })
    }

    /// In the order of their acknowledgement.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What is there now.
    pub fn live(&self) -> impl Iterator<Item = &Change> {
        self.live.values()
    }

    /// So many creations, changes and deletions, in turn.
    pub fn write(&mut self, count: u64) -> Result<()> {
        (0..count).try_for_each(|_| self.step().map(drop))
    }

    /// Until everything that was deleted is gone.
    pub fn settle(&mut self) -> Result<()> {
        for (target, name) in std::mem::take(&mut self.ending) {
            self.gone(target, &name)?;
        }
        Ok(())
    }

    /// Changes one object of each target, so that who has seen these has seen all before them. What they are now.
    pub fn mark(&mut self) -> Result<Vec<Change>> {
        (0..self.targets.len()).try_for_each(|target| self.put(target, "marker").map(drop))?;
        Ok(self.live.iter().filter(|((_, name), _)| name == "marker").map(|(_, change)| change.clone()).collect())
    }

    /// Writes while the server is killed and started again so many times.
    pub fn storm(&mut self, cluster: &mut Cluster, crashes: usize, arguments: [&str; 1]) -> Result<()> {
        for _ in 0..crashes {
            let (crashed, up) = (AtomicBool::new(false), AtomicBool::new(false));
            thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    let mut left = BEFORE_A_CRASH;
                    while !up.load(Ordering::Relaxed) || left > 0 {
                        self.step()?;
                        left = left.saturating_sub(1);
                        crashed.store(left == 0, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                });
                let restarted =
                    eventually("there were some writes", || Ok(crashed.load(Ordering::Relaxed).then_some(())))
                        .and_then(|()| cluster.kill_daemon())
                        .and_then(|()| cluster.up(arguments).map(drop));
                up.store(true, Ordering::Relaxed);
                writer.join().ok().context("the writer panicked")?.and(restarted)
            })?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        let turn = self.turn;
        self.turn += 1;
        let count = self.targets.len() as u64;
        let (target, round) = ((turn % count) as usize, turn / count);
        let name = format!("o{}", round % NAMES);
        if (round / NAMES) % LIFE == LIFE - 1 { self.delete(target, &name) } else { self.put(target, &name) }
    }

    /// Creates or changes.
    fn put(&mut self, target: usize, name: &str) -> Result<()> {
        if self.ending.contains(&(target, name.to_owned())) {
            if self.alone {
                return Ok(());
            }
            self.gone(target, name)?;
            self.ending.remove(&(target, name.to_owned()));
        }
        self.value += 1;
        let value = self.value.to_string();
        let Target { path, object, .. } = &self.targets[target];
        let known = self.live.contains_key(&(target, name.to_owned()));
        let sent = if known {
            self.api.patch(&format!("{path}/{name}"), &json!({"metadata": {"annotations": {VALUE: value}}}))
        } else {
            let mut object = object.clone();
            object["metadata"]["name"] = name.into();
            object["metadata"]["annotations"] = json!({VALUE: value});
            self.api.create(path, &object)
        };
        let now = match sent {
            Ok(object) => object,
            // It may have been done all the same.
            Err(_) => self.look(target, name)?.unwrap_or_default(),
        };
        if now["metadata"]["annotations"][VALUE] == value.as_str() {
            let uid = text(&now, "metadata.uid");
            self.note(target, name, uid, if known { "MODIFIED" } else { "ADDED" }, self.value);
        }
        Ok(())
    }

    fn delete(&mut self, target: usize, name: &str) -> Result<()> {
        let Some(last) = self.live.get(&(target, name.to_owned())).cloned() else { return Ok(()) };
        let Target { path, lingers, .. } = &self.targets[target];
        let lingers = *lingers;
        // What nobody has put a finalizer on yet would go unseen.
        if lingers && !self.held(target, name)? {
            if self.alone {
                return Ok(());
            }
            eventually(&format!("{name} has a finalizer"), || Ok(self.held(target, name)?.then_some(())))?;
        }
        let sent = self.api.delete(&format!("{path}/{name}"));
        if sent.is_err() {
            let left = self.look(target, name)?;
            if left.is_some_and(|object| text(&object, "metadata.deletionTimestamp").is_empty()) {
                return Ok(());
            }
        }
        if lingers {
            self.ending.insert((target, name.to_owned()));
        } else {
            self.gone(target, name)?;
        }
        self.note(target, name, &last.uid, "DELETED", last.value);
        self.live.remove(&(target, name.to_owned()));
        Ok(())
    }

    fn held(&self, target: usize, name: &str) -> Result<bool> {
        let object = self.look(target, name)?.unwrap_or_default();
        Ok(!text(&object, "metadata.finalizers.0").is_empty())
    }

    /// Until it is.
    fn gone(&self, target: usize, name: &str) -> Result<()> {
        eventually(&format!("{name} is gone"), || Ok(self.look(target, name)?.is_none().then_some(())))
    }

    /// The object as soon as the server answers.
    fn look(&self, target: usize, name: &str) -> Result<Option<Value>> {
        let path = format!("{}/{name}", self.targets[target].path);
        eventually("the server answers", || self.api.find(&path).map(Some))
    }

    fn note(&mut self, target: usize, name: &str, uid: &str, what: &'static str, value: u64) {
        let Target { kind, shared, .. } = self.targets[target];
        let change = Change { what, kind, name: name.to_owned(), uid: uid.to_owned(), value, shared };
        self.changes.push(change.clone());
        self.live.insert((target, name.to_owned()), change);
    }
}

/// Until what happened before now cannot be read any more.
pub fn compacted(cluster: &Cluster) -> Result<()> {
    let list = "/api/v1/namespaces/default/configmaps";
    let now = cluster.api().get(list)?;
    let revision = text(&now, "metadata.resourceVersion").to_owned();
    ensure!(!revision.is_empty(), "a list has a revision");
    let touched = crate::objects::config_map("compaction", json!({}));
    cluster.api().create(list, &touched)?;
    cluster.api().delete(&format!("{list}/compaction"))?;
    let old = format!("{list}?resourceVersion={revision}&resourceVersionMatch=Exact&limit=1");
    eventually("history is compacted", || {
        let (code, _) = cluster.api().request("GET", &old, None)?;
        Ok((code == 410).then_some(()))
    })
}
