//! What the launcher knows, as small JSON files, so that a new launcher can tell what became of everything.
//!
//! Written by rename and not synced: after a crash of the machine all containers are gone anyway.
//! ```text
//! <state>/sandboxes/<id>.json
//! <state>/containers/<id>/container.json, upper, work, rootfs
//! <state>/trash/<n>                      directories being deleted
//! ```

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::spec::{ContainerStatus, SandboxStatus};

#[derive(Debug)]
pub struct Records {
    state: PathBuf,
    trashed: u64,
}

impl Records {
    pub fn open(state: &Path) -> io::Result<Self> {
        for name in ["sandboxes", "containers", "trash"] {
            std::fs::create_dir_all(state.join(name))?;
        }
        Ok(Self { state: state.to_owned(), trashed: 0 })
    }

    pub fn trash(&self) -> PathBuf {
        self.state.join("trash")
    }

    pub fn container_dir(&self, id: &str) -> PathBuf {
        self.state.join("containers").join(id)
    }

    fn sandbox_file(&self, id: &str) -> PathBuf {
        self.state.join("sandboxes").join(format!("{id}.json"))
    }

    pub fn write_sandbox(&self, status: &SandboxStatus) -> io::Result<()> {
        write(&self.sandbox_file(&status.spec.id), status)
    }

    pub fn remove_sandbox(&self, id: &str) -> io::Result<()> {
        ignore_missing(std::fs::remove_file(self.sandbox_file(id)))
    }

    /// Makes the container's directory when there is none.
    pub fn write_container(&self, status: &ContainerStatus) -> io::Result<()> {
        let dir = self.container_dir(&status.id);
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        write(&dir.join("container.json"), status)
    }

    /// Forgets a container. Its files are deleted later, from the trash.
    pub fn remove_container(&mut self, id: &str) -> io::Result<()> {
        loop {
            let place = self.trash().join(format!("{id}-{}", self.trashed));
            self.trashed += 1;
            match std::fs::rename(self.container_dir(id), place) {
                // Left over by an earlier launcher.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => {}
                other => return ignore_missing(other),
            }
        }
    }

    /// What an earlier launcher wrote. Files that cannot be read are passed over.
    pub fn load(&self) -> io::Result<(Vec<SandboxStatus>, Vec<ContainerStatus>)> {
        let list = |name: &str| -> io::Result<Vec<PathBuf>> {
            std::fs::read_dir(self.state.join(name))?.map(|entry| Ok(entry?.path())).collect()
        };
        let sandboxes = list("sandboxes")?.iter().filter_map(|path| read(path)).collect();
        let containers = list("containers")?.iter().filter_map(|path| read(&path.join("container.json"))).collect();
        Ok((sandboxes, containers))
    }

    /// Removes all but the logs of what ran, which are elsewhere.
    pub fn remove_all(&self) -> io::Result<()> {
        for name in ["sandboxes", "containers", "trash"] {
            ignore_missing(std::fs::remove_dir_all(self.state.join(name)))?;
        }
        Ok(())
    }
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, serde_json::to_vec(value)?)?;
    std::fs::rename(temporary, path)
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
