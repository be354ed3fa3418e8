//! What running nodes hold in the kernel and on disk: two of these are equal when nothing leaked in between.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::leaks::Traces;
use crate::namespace::Namespace;
use crate::{host, leaks};

/// A node, and where it keeps what it has.
#[derive(Clone, Debug)]
pub struct NodePlace {
    pub name: String,
    /// The folder with its pods, its images and the runtime's state.
    pub node: PathBuf,
    /// In which its pods' links end.
    pub namespace: Namespace,
}

impl NodePlace {
    /// The process that is the parent of the node's containers.
    pub fn launcher(&self) -> Result<i32> {
        let marker = self.node.join("runtime");
        // A child that has just ended may look like another one for a moment.
        crate::eventually("there is one launcher", || host::process(&marker.to_string_lossy()).map(Some))
    }

    /// The lock of a node that is a process of its own.
    pub fn lock(&self) -> PathBuf {
        self.node.with_file_name("lock")
    }
}

/// Counts and names, by what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint(BTreeMap<String, Vec<String>>);

impl Footprint {
    /// Of nodes whose processes run, all with these traces.
    pub fn take(traces: &Traces<'_>, nodes: &[NodePlace]) -> Result<Self> {
        let names = |paths: Vec<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect();
        let mut found = BTreeMap::from([
            ("mounts".to_owned(), names(traces.mounts()?)),
            ("cgroups".to_owned(), names(groups(traces)?)),
        ]);
        for folder in traces.run_directories() {
            found.insert(folder.display().to_string(), entries(&folder));
        }
        for NodePlace { name, node, namespace } in nodes {
            found.insert(format!("links of {name}"), namespace.links()?);
            for folder in ["pods", "runtime/sandboxes", "runtime/containers", "runtime/trash"] {
                found.insert(format!("{folder} of {name}"), entries(&node.join(folder)));
            }
        }
        for node in nodes {
            found.insert(format!("descriptors of {}'s launcher", node.name), descriptors(node.launcher()?)?);
        }
        let processes = traces.processes()?.len();
        found.insert("processes".to_owned(), vec![processes.to_string()]);
        found.values_mut().for_each(|names| names.sort());
        Ok(Self(found))
    }

    /// What there is more or less than before, in words; empty when they are equal.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let missing = Vec::new();
        let mut found = Vec::new();
        for (what, now) in &self.0 {
            let then = before.0.get(what).unwrap_or(&missing);
            if now != then {
                let new: Vec<&String> = now.iter().filter(|name| !then.contains(name)).collect();
                let gone: Vec<&String> = then.iter().filter(|name| !now.contains(name)).collect();
                found.push(format!("{what}: {} became {}; new {new:?}, gone {gone:?}", then.len(), now.len()));
            }
        }
        found
    }
}

/// Kinds of what a process has open, such as `net`, `pidfd`, `pipe`.
fn descriptors(pid: i32) -> Result<Vec<String>> {
    let folder = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {folder}"))?.filter_map(Result::ok);
    let target = |path: &Path| fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default();
    // Numbers differ: `pipe:[123]` is a pipe.
    Ok(entries.map(|entry| target(&entry.path()).split(":[").next().unwrap_or_default().to_owned()).collect())
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn groups(traces: &Traces<'_>) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for root in traces.cgroups() {
        leaks::collect_folders(&root, &|_| true, &mut all);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        let with = |names: &[&str]| {
            Footprint([("links".to_owned(), names.iter().map(|name| (*name).to_owned()).collect())].into())
        };
        assert!(with(&["lo"]).differences(&with(&["lo"])).is_empty());
        let found = with(&["lo", "veth1"]).differences(&with(&["br", "lo"]));
        assert_eq!(found, [r#"links: 2 became 2; new ["veth1"], gone ["br"]"#]);
        assert_eq!(with(&["pipe", "pipe"]).differences(&with(&["pipe"])).len(), 1);
    }
}
