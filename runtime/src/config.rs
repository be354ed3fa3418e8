use std::ffi::OsString;
use std::path::PathBuf;

/// Where the runtime of one node keeps its things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Records, writable layers and the lock of the launcher. On a file system that can be an overlay's upper layer.
    pub state_dir: PathBuf,
    /// The image store.
    pub images_dir: PathBuf,
    /// Where the launcher listens; any length of path will do.
    pub socket: PathBuf,
    /// One path component (such as `setpoint-ab12cd`) below the root of every cgroup hierarchy: all groups of this node are in it.
    pub cgroup_root: String,
    /// Program and first arguments that end in [`crate::launcher::main`]; the runtime appends its options.
    pub launcher: Vec<OsString>,
}

impl Config {
    /// This very program, called with `launcher` as its first argument.
    pub fn own_launcher() -> Vec<OsString> {
        vec!["/proc/self/exe".into(), "launcher".into()]
    }
}
