//! What a cluster must not leave behind: processes, cgroups, mounts, links, service rules, run directories.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::namespace::Namespace;

/// The kernel takes namespaces and links apart after the last process has ended.
const LIMIT: Duration = Duration::from_secs(10);

/// Where a cluster may have left something.
#[derive(Clone, Debug)]
pub struct Traces<'a> {
    pub data_dir: &'a Path,
    /// Six hex digits; empty for a cluster that never got that far.
    pub id: String,
    pub namespace: &'a Namespace,
    /// Nothing else is in the namespace.
    pub alone: bool,
    /// Links of the namespace before the cluster was started.
    pub links: &'a [String],
    /// A process of the test itself that is in the namespace, such as an etcd.
    pub spared: Option<u32>,
}

impl Traces<'_> {
    /// Waits until nothing is left; else removes what is, and tells.
    pub fn check(&self) -> Result<()> {
        let gone = crate::within(LIMIT, "nothing is left of the cluster", || match self.find()? {
            left if left.is_empty() => Ok(Some(())),
            left => bail!("left behind:\n{}", left.join("\n")),
        });
        if gone.is_err() {
            self.remove();
        }
        gone
    }

    fn find(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for pid in self.processes()? {
            let name = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
            left.push(format!("process {pid}: {name}"));
        }
        left.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        left.extend(self.mounts()?.iter().map(|path| format!("mount {}", path.display())));
        let links = self.namespace.links()?;
        left.extend(links.iter().filter(|link| !self.links.contains(link)).map(|link| format!("link {link}")));
        left.extend(self.tables()?.iter().map(|table| format!("nftables {table}")));
        left.extend(self.run_directories().iter().map(|path| format!("directory {}", path.display())));
        Ok(left)
    }

    /// One for each node.
    pub fn run_directories(&self) -> Vec<PathBuf> {
        if self.id.is_empty() {
            return Vec::new();
        }
        let entries = fs::read_dir("/run").into_iter().flatten().filter_map(Result::ok);
        let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| is_of(name, &self.id)));
        ours.map(|entry| entry.path()).collect()
    }

    /// Processes with the data directory in their command line, or in the network namespace, or in the cluster's cgroup.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let inode = self.namespace.inode()?;
        let mut found = Vec::new();
        for pid in all_processes()? {
            let own = [Some(std::process::id()), self.spared];
            if own.into_iter().flatten().any(|own| own.cast_signed() == pid) {
                continue;
            }
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let named = contains(&command, self.data_dir.as_os_str().as_bytes());
            let inside =
                self.alone && fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|link| link.ino() == inode);
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let grouped = !self.id.is_empty() && groups.contains(&format!("/setpoint-{}", self.id));
            if named || inside || grouped {
                found.push(pid);
            }
        }
        Ok(found)
    }

    pub fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if !self.id.is_empty() {
            let ours = |folder: &std::ffi::OsStr| folder.to_str().is_some_and(|name| is_of(name, &self.id));
            collect_folders(Path::new("/sys/fs/cgroup"), &ours, &mut found);
        }
        found
    }

    pub fn mounts(&self) -> Result<Vec<PathBuf>> {
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        let runs = self.run_directories();
        let ours = |path: &PathBuf| path.starts_with(self.data_dir) || runs.iter().any(|run| path.starts_with(run));
        Ok(points.filter(ours).collect())
    }

    /// Looked at with `nft`; where it is not installed, nothing is known.
    fn tables(&self) -> Result<Vec<String>> {
        let Some(nft) = crate::find_program("nft") else { return Ok(Vec::new()) };
        let output = self.namespace.command(nft).args(["list", "tables"]).output()?;
        let tables = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = |table: &&str| match self.id.as_str() {
            "" => self.alone && table.contains("setpoint"),
            id => table.contains(&format!("setpoint_{id}")),
        };
        Ok(tables.lines().filter(ours).map(str::to_owned).collect())
    }

    /// As much as possible, so that other tests and later runs are not disturbed.
    pub fn remove(&self) {
        for pid in self.processes().unwrap_or_default().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let mut mounts = self.mounts().unwrap_or_default();
        mounts.reverse();
        for mount in mounts {
            let _ = rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH);
        }
        for group in self.cgroups() {
            let mut folders = vec![group.clone()];
            collect_folders(&group, &|_| true, &mut folders);
            folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
            // The killed processes leave it in a moment.
            let _ = crate::within(LIMIT, "the cgroup is empty", || {
                let removed =
                    folders.iter().filter(|folder| folder.exists()).all(|folder| fs::remove_dir(folder).is_ok());
                Ok(removed.then_some(()))
            });
        }
        for directory in self.run_directories() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// Whether a name is the cluster's, or one of its further nodes'.
fn is_of(name: &str, id: &str) -> bool {
    name.strip_prefix("setpoint-")
        .and_then(|name| name.strip_prefix(id))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Folders of tests that were killed, and what their clusters left. `prefix` is followed by the tests' process id and a dash.
pub fn sweep(prefix: &str) -> Result<()> {
    let nowhere = Namespace::new()?;
    for entry in fs::read_dir(std::env::temp_dir())?.filter_map(Result::ok) {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(prefix)?.split_once('-'));
        let gone = owner.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists());
        if gone {
            let folder = entry.path();
            let id = facts(&folder.join("data")).and_then(|facts| Some(facts["id"].as_str()?.to_owned()));
            let links = nowhere.links()?;
            let traces = Traces {
                data_dir: &folder,
                id: id.unwrap_or_default(),
                namespace: &nowhere,
                alone: false,
                links: &links,
                spared: None,
            };
            traces.remove();
            if traces.mounts()?.is_empty() {
                let _ = fs::remove_dir_all(&folder);
            }
        }
    }
    Ok(())
}

/// What `up` chose for the cluster of a data directory. `None`: it never got so far.
pub fn facts(data_dir: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&fs::read(data_dir.join("cluster.json")).ok()?).ok()
}

pub fn all_processes() -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Folders below one with a wanted name; below a found one only when all are wanted.
pub fn collect_folders(folder: &Path, wanted: &dyn Fn(&std::ffi::OsStr) -> bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if wanted(&entry.file_name()) {
                found.push(entry.path());
            }
            collect_folders(&entry.path(), wanted, found);
        }
    }
}
