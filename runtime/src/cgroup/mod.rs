//! The node's control groups: `<hierarchy>/<root>/<sandbox path>/<container>` in every hierarchy in use.
//!
//! [`detect`] finds out where each controller lives, [`limits`] what is written, [`device_filter`] stands in for v1's devices. Membership, killing and freezing use v2 whenever
//! it is mounted, even without controllers. Joining never writes `cgroup.procs`, which waits for the kernel 5 to 24 ms: a
//! child is cloned into its v2 group and writes `0` to the v1 `tasks` files itself (20 us each).

mod detect;
mod device_filter;
mod limits;

use std::cell::OnceCell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spec::{Resources, Usage};
pub use detect::{Hierarchies, Place};

/// Which devices the members of a group may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    All,
    Default,
}

/// What a group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has groups below it and no processes.
    Parent,
    /// Has processes.
    Leaf(Devices),
}

/// The part of the control group hierarchies below one root name. Paths are relative to it.
#[derive(Debug)]
pub struct Cgroups {
    hierarchies: Hierarchies,
    root: String,
    /// Loaded when first needed.
    device_filter: OnceCell<OwnedFd>,
}

/// Its name is all that another program of this process must know: the machine is looked at again.
impl Serialize for Cgroups {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.root.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cgroups {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root = String::deserialize(deserializer)?;
        Ok(Self::new(Hierarchies::detect().map_err(serde::de::Error::custom)?, &root))
    }
}

impl Cgroups {
    /// `root` is one path component.
    pub fn new(hierarchies: Hierarchies, root: &str) -> Self {
        Self { hierarchies, root: root.to_owned(), device_filter: OnceCell::new() }
    }

    /// Makes a group and those above it. On v2 the parents hand down the controllers we use.
    pub fn create(&self, path: &str, resources: &Resources, kind: Kind) -> io::Result<()> {
        for mount in self.hierarchies.mounts() {
            std::fs::create_dir_all(self.dir(mount, path))?;
        }
        if let Some(unified) = &self.hierarchies.unified {
            let used: Vec<String> = ["cpu", "memory", "pids"]
                .iter()
                .filter(|name| self.hierarchies.place(name) == Some(Place::V2(&unified.mount)))
                .map(|name| format!("+{name}"))
                .collect();
            if !used.is_empty() {
                self.hand_down(&unified.mount, path, kind, &used.join(" "))?;
            }
        }
        self.limit(path, resources)?;
        match kind {
            Kind::Leaf(devices) => self.restrict(path, devices),
            Kind::Parent => Ok(()),
        }
    }

    fn hand_down(&self, mount: &Path, path: &str, kind: Kind, controllers: &str) -> io::Result<()> {
        let mut group = mount.to_owned();
        let components: Vec<&str> = std::iter::once(self.root.as_str()).chain(path.split('/')).collect();
        let parents = if kind == Kind::Parent { components.len() } else { components.len() - 1 };
        write(&group.join("cgroup.subtree_control"), controllers)?;
        for component in components.into_iter().take(parents) {
            group.push(component);
            write(&group.join("cgroup.subtree_control"), controllers)?;
        }
        Ok(())
    }

    /// Writes the limits wherever their controllers live; a controller that this machine lacks is skipped.
    pub fn limit(&self, path: &str, resources: &Resources) -> io::Result<()> {
        for controller in ["cpu", "memory", "pids"] {
            let (dir, writes) = match self.hierarchies.place(controller) {
                Some(Place::V1(mount)) => (self.dir(mount, path), limits::v1(controller, resources)),
                Some(Place::V2(mount)) => (self.dir(mount, path), limits::v2(controller, resources)),
                None => continue,
            };
            for (file, value) in writes {
                write(&dir.join(file), &value)?;
            }
        }
        Ok(())
    }

    /// What holds for groups with processes: an out-of-memory kill takes all of them (v2), and the device list.
    fn restrict(&self, path: &str, devices: Devices) -> io::Result<()> {
        if let Some(Place::V2(mount)) = self.hierarchies.place("memory") {
            write(&self.dir(mount, path).join("memory.oom.group"), "1")?;
        }
        if devices == Devices::All {
            return Ok(());
        }
        match self.hierarchies.place("devices") {
            Some(Place::V1(mount)) => {
                let dir = self.dir(mount, path);
                write(&dir.join("devices.deny"), "a")?;
                limits::DEVICES.iter().try_for_each(|line| write(&dir.join("devices.allow"), line))
            }
            _ => match &self.hierarchies.unified {
                Some(unified) => self.filter_devices(&self.dir(&unified.mount, path)),
                None => Ok(()),
            },
        }
    }

    fn filter_devices(&self, dir: &Path) -> io::Result<()> {
        let explain = |error| io::Error::other(format!("limit the devices of {}: {error}", dir.display()));
        if self.device_filter.get().is_none() {
            let program = device_filter::load().map_err(explain)?;
            // It was empty.
            let _ = self.device_filter.set(program);
        }
        let Some(program) = self.device_filter.get() else { return Ok(()) };
        // A path descriptor will not do.
        device_filter::attach(program, std::fs::File::open(dir)?).map_err(explain)
    }

    /// For `CLONE_INTO_CGROUP`; `None` without a v2 hierarchy.
    pub fn open_unified(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        let Some(unified) = &self.hierarchies.unified else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Some(rustix::fs::open(self.dir(&unified.mount, path), flags, Mode::empty())?))
    }

    /// Moves the calling process, which must have one thread, into the v1 groups of `path`.
    pub fn join_v1(&self, path: &str) -> io::Result<()> {
        self.hierarchies.v1.iter().try_for_each(|legacy| write(&self.dir(&legacy.mount, path).join("tasks"), "0"))
    }

    /// SIGKILL to every process in the group and below it.
    pub fn kill(&self, path: &str) -> io::Result<()> {
        if let Some(unified) = &self.hierarchies.unified {
            match write(&self.dir(&unified.mount, path).join("cgroup.kill"), "1") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        let Some(mount) = self.hierarchies.mounts().last() else { return Ok(()) };
        let freezer = match self.hierarchies.place("freezer") {
            Some(Place::V1(mount)) => Some(self.dir(mount, path).join("freezer.state")),
            _ => None,
        };
        // Frozen, so that nothing forks between the listing and the kill.
        let frozen = freezer.as_ref().map(|state| write(state, "FROZEN"));
        let killed = kill_below(&self.dir(mount, path));
        if let (Some(state), Some(Ok(()))) = (&freezer, frozen) {
            write(state, "THAWED")?;
        }
        killed
    }

    /// Removes the group and those below it. False while the kernel still holds a process in one of them: try again.
    pub fn remove(&self, path: &str) -> io::Result<bool> {
        let mut gone = true;
        for mount in self.hierarchies.mounts() {
            gone &= remove_below(&self.dir(mount, path))?;
        }
        Ok(gone)
    }

    /// Processes of the group itself killed for want of memory, since it was made.
    pub fn oom_kills(&self, path: &str) -> u64 {
        let file = match self.hierarchies.place("memory") {
            Some(Place::V1(mount)) => self.dir(mount, path).join("memory.oom_control"),
            Some(Place::V2(mount)) => self.dir(mount, path).join("memory.events"),
            None => return 0,
        };
        // A group that is gone killed nothing.
        std::fs::read_to_string(file).ok().and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
    }

    pub fn usage(&self, path: &str) -> io::Result<Usage> {
        let mut usage = Usage::default();
        match self.hierarchies.place("cpuacct") {
            Some(Place::V1(mount)) => usage.cpu_ns = number(&self.dir(mount, path).join("cpuacct.usage"))?,
            _ => {
                if let Some(unified) = &self.hierarchies.unified {
                    let stat = std::fs::read_to_string(self.dir(&unified.mount, path).join("cpu.stat"))?;
                    usage.cpu_ns = field(&stat, "usage_usec").unwrap_or(0) * 1000;
                }
            }
        }
        let (dir, current, inactive) = match self.hierarchies.place("memory") {
            Some(Place::V1(mount)) => (self.dir(mount, path), "memory.usage_in_bytes", "total_inactive_file"),
            Some(Place::V2(mount)) => (self.dir(mount, path), "memory.current", "inactive_file"),
            None => return Ok(usage),
        };
        usage.memory_bytes = number(&dir.join(current))?;
        let stat = std::fs::read_to_string(dir.join("memory.stat"))?;
        usage.working_set_bytes = usage.memory_bytes.saturating_sub(field(&stat, inactive).unwrap_or(0));
        Ok(usage)
    }

    /// What a container sees in /sys/fs/cgroup: file system type, options and name of each hierarchy's mount. One entry with an
    /// empty name is the directory itself.
    pub fn views(&self) -> Vec<(&'static str, String, String)> {
        if let (Some(_), []) = (&self.hierarchies.unified, self.hierarchies.v1.as_slice()) {
            return vec![("cgroup2", String::new(), String::new())];
        }
        let unified = self.hierarchies.unified.iter().map(|_| ("cgroup2", String::new(), "unified".to_owned()));
        let legacy = self.hierarchies.v1.iter().map(|legacy| {
            let name = legacy.mount.file_name().unwrap_or_default().to_string_lossy().into_owned();
            ("cgroup", legacy.controllers.join(","), name)
        });
        unified.chain(legacy).collect()
    }

    fn dir(&self, mount: &Path, path: &str) -> PathBuf {
        mount.join(&self.root).join(path)
    }
}

/// A path of plain components, so that it cannot leave the root.
pub fn is_valid_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain))
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("write {value:?} to {}: {error}", path.display()));
    OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes())).map_err(explain)
}

fn number(path: &Path) -> io::Result<u64> {
    std::fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}

/// The value beside `name` in lines of `name value`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().filter_map(|line| line.split_once(' ')).find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
}

fn kill_below(dir: &Path) -> io::Result<()> {
    for child in children(dir)? {
        kill_below(&child)?;
    }
    for pid in std::fs::read_to_string(dir.join("cgroup.procs"))?.lines() {
        if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    Ok(())
}

fn remove_below(dir: &Path) -> io::Result<bool> {
    match std::fs::remove_dir(dir) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        Err(error) => return Err(error),
    }
    let children = match children(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        other => other?,
    };
    let mut gone = true;
    for child in &children {
        gone &= remove_below(child)?;
    }
    match std::fs::remove_dir(dir) {
        Ok(()) => Ok(gone),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        let cases =
            [("burstable/pod1-a_b.c", true), ("a", true), ("", false), ("/a", false), ("a/..", false), ("a//b", false)];
        for (path, expected) in cases {
            assert_eq!(is_valid_path(path), expected, "{path:?}");
        }
    }

    #[test]
    fn counters_are_read_by_name() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!((field(text, "oom_kill"), field(text, "high")), (Some(2), None));
        assert_eq!(field("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill"), Some(1));
    }
}
