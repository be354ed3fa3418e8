//! Where each cgroup controller lives on this machine: v1, v2, or some of both. Asked per controller, never per machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The controllers we use. cpuacct gives the CPU time on v1; freezer is needed to kill only without a v2 hierarchy.
pub const CONTROLLERS: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "devices", "freezer"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    pub unified: Option<Unified>,
    pub v1: Vec<Legacy>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unified {
    pub mount: PathBuf,
    pub controllers: BTreeSet<String>,
}

/// A v1 hierarchy; several controllers may be mounted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legacy {
    pub mount: PathBuf,
    pub controllers: Vec<&'static str>,
}

/// Where a controller's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    V1(&'a Path),
    V2(&'a Path),
}

impl Hierarchies {
    pub fn detect() -> std::io::Result<Self> {
        let mut hierarchies = Self::parse(&std::fs::read_to_string("/proc/thread-self/mountinfo")?);
        if let Some(unified) = &mut hierarchies.unified {
            let controllers = std::fs::read_to_string(unified.mount.join("cgroup.controllers"))?;
            unified.controllers = controllers.split_whitespace().map(str::to_owned).collect();
        }
        Ok(hierarchies)
    }

    /// From the text of mountinfo. The first mount of a hierarchy counts.
    fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for (mount, kind, options) in mountinfo.lines().filter_map(parse_mount) {
            let mount = || PathBuf::from(unescape(mount));
            match kind {
                "cgroup2" if found.unified.is_none() => {
                    found.unified = Some(Unified { mount: mount(), controllers: BTreeSet::new() });
                }
                "cgroup" => {
                    let controllers: Vec<&'static str> = CONTROLLERS
                        .into_iter()
                        .filter(|name| options.split(',').any(|option| option == *name))
                        .filter(|name| !found.v1.iter().any(|known| known.controllers.contains(name)))
                        .collect();
                    if !controllers.is_empty() {
                        found.v1.push(Legacy { mount: mount(), controllers });
                    }
                }
                _ => {}
            }
        }
        if found.unified.is_some() {
            found.v1.retain(|legacy| legacy.controllers != ["freezer"]);
        }
        found
    }

    pub fn place(&self, controller: &str) -> Option<Place<'_>> {
        let legacy = self.v1.iter().find(|legacy| legacy.controllers.contains(&controller));
        if let Some(legacy) = legacy {
            return Some(Place::V1(&legacy.mount));
        }
        let unified = self.unified.as_ref()?;
        unified.controllers.contains(controller).then_some(Place::V2(&unified.mount))
    }

    /// The mount points in which every group of ours exists: v2 (for membership, kill and freeze, whatever controllers
    /// it has) and the v1 hierarchies in use.
    pub fn mounts(&self) -> impl Iterator<Item = &Path> {
        let unified = self.unified.iter().map(|unified| unified.mount.as_path());
        unified.chain(self.v1.iter().map(|legacy| legacy.mount.as_path()))
    }
}

/// Mount point, file system type and super block options of one line.
fn parse_mount(line: &str) -> Option<(&str, &str, &str)> {
    let (mount, super_block) = line.split_once(" - ")?;
    let mut fields = super_block.split(' ');
    Some((mount.split(' ').nth(4)?, fields.next()?, fields.nth(1)?))
}

/// Blanks and backslashes are octal in mountinfo.
fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (octal, plain)| text.replace(octal, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_found_where_they_live() {
        let hybrid = "\
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
99 31 0:32 / /elsewhere/memory rw - cgroup cgroup rw,memory
";
        let cases = [
            (
                "hybrid",
                hybrid,
                "pids hugetlb",
                [
                    ("cpu", Some(Place::V1(Path::new("/sys/fs/cgroup/cpu")))),
                    ("cpuacct", Some(Place::V1(Path::new("/sys/fs/cgroup/cpu")))),
                    ("memory", Some(Place::V1(Path::new("/sys/fs/cgroup/memory")))),
                    ("pids", Some(Place::V2(Path::new("/sys/fs/cgroup/unified")))),
                    ("freezer", None),
                ],
            ),
            (
                "v2 alone",
                "30 23 0:26 / /sys/fs/cg\\040roup rw - cgroup2 cgroup2 rw,nsdelegate",
                "cpu memory",
                [
                    ("cpu", Some(Place::V2(Path::new("/sys/fs/cg roup")))),
                    ("cpuacct", None),
                    ("memory", Some(Place::V2(Path::new("/sys/fs/cg roup")))),
                    ("pids", None),
                    ("freezer", None),
                ],
            ),
            (
                "v1 alone",
                "37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer",
                "",
                [
                    ("cpu", None),
                    ("cpuacct", None),
                    ("memory", None),
                    ("pids", None),
                    ("freezer", Some(Place::V1(Path::new("/sys/fs/cgroup/freezer")))),
                ],
            ),
            (
                "none",
                "22 27 0:21 / /proc rw - proc proc rw",
                "",
                [("cpu", None), ("cpuacct", None), ("memory", None), ("pids", None), ("freezer", None)],
            ),
        ];
        for (name, mountinfo, controllers, expected) in cases {
            let mut found = Hierarchies::parse(mountinfo);
            if let Some(unified) = &mut found.unified {
                unified.controllers = controllers.split(' ').map(str::to_owned).collect();
            }
            for (controller, place) in expected {
                assert_eq!(found.place(controller), place, "{name}: {controller}");
            }
        }
    }
}
