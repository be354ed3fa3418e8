//! What is left of pods that are no more: sandboxes, volumes, logs.

use std::collections::BTreeSet;
use std::path::Path;

use super::manager::Manager;
use super::observe::PodOnNode;
use super::perform;
use super::set_up::{self, VolumeLock};
use crate::paths::Paths;

impl Manager {
    /// Nothing of it is left, so its logs go too.
    pub(super) fn forget(&mut self, uid: &str) {
        let Some(entry) = self.pods.remove(uid) else { return };
        self.shared.table.remove(uid);
        let logs = self.shared.paths.pod_logs(entry.machine.pod());
        tokio::task::spawn_blocking(move || remove_dir(&logs));
    }

    pub(super) fn remove_in_background(&self, sandbox: String) {
        let shared = self.shared.clone();
        tokio::spawn(async move { perform::remove_sandbox(&shared, &sandbox).await });
    }

    /// The runtime has something of a pod that the API does not have.
    pub(super) fn remove_orphan(&mut self, uid: String, pod: PodOnNode) {
        tracing::info!(pod = uid, "removing what is left of a pod that is gone");
        let shared = self.shared.clone();
        let addresses = pod.observed.sandbox.into_iter().flat_map(|sandbox| sandbox.ips);
        addresses.for_each(|ip| self.ipam.release(ip));
        tokio::spawn(async move {
            for sandbox in pod.sandboxes {
                perform::remove_sandbox(&shared, &sandbox).await;
            }
            set_up::tear_down(&shared, &uid, VolumeLock::default()).await;
        });
    }

    /// Directories of pods that are not there any more, from before this start.
    pub(super) fn remove_orphaned_files(&self) {
        let known: BTreeSet<String> = self.pods.keys().cloned().collect();
        let logs: BTreeSet<String> = self.pods.values().map(|entry| Paths::pod_log_name(entry.machine.pod())).collect();
        let shared = self.shared.clone();
        tokio::spawn(async move {
            for uid in names_in(&shared.paths.pods()).into_iter().chain(names_in(&shared.paths.memory())) {
                if !known.contains(&uid) {
                    set_up::tear_down(&shared, &uid, VolumeLock::default()).await;
                }
            }
            for name in names_in(shared.paths.logs()) {
                if !logs.contains(&name) {
                    remove_dir(&shared.paths.logs().join(name));
                }
            }
        });
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

fn remove_dir(dir: &Path) {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, dir = %dir.display(), "directory not removed");
        }
        _ => {}
    }
}
