//! What the launcher knows, as small JSON files, so that a new launcher can tell what became of everything.
//!
//! Written by rename and not synced: after a crash of the machine all containers are gone anyway.
//! ```text
//! <state>/sandboxes/<id>.json
//! <state>/containers/<id>/container.json, upper, work
//! <state>/rootfs                         empty: where root file systems are mounted, in namespaces of their own
//! <state>/trash/<n>                      directories being deleted
//! ```

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::spec::{ContainerStatus, SandboxStatus};

const TRASH: &str = "trash";
const DIRECTORIES: [&str; 4] = ["sandboxes", "containers", TRASH, "rootfs"];

#[derive(Debug, Serialize, Deserialize)]
pub struct Records {
    state: PathBuf,
    trashed: u64,
}

impl Records {
    pub fn open(state: &Path) -> io::Result<Self> {
        for name in DIRECTORIES {
            std::fs::create_dir_all(state.join(name))?;
        }
        Ok(Self { state: state.to_owned(), trashed: 0 })
    }

    pub fn trash(&self) -> PathBuf {
        self.state.join(TRASH)
    }

    pub fn rootfs(&self) -> PathBuf {
        self.state.join("rootfs")
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

    /// Makes the container's directory, without a record: until it runs there is nothing to tell.
    pub fn create_container(&self, id: &str) -> io::Result<()> {
        std::fs::create_dir(self.container_dir(id))
    }

    pub fn write_container(&self, status: &ContainerStatus) -> io::Result<()> {
        write(&self.container_dir(&status.id).join("container.json"), status)
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

    /// What an earlier launcher wrote. Files that cannot be read are passed over; a container without a record never ran.
    pub fn load(&mut self) -> io::Result<(Vec<SandboxStatus>, Vec<ContainerStatus>)> {
        let list = |name: &str| -> io::Result<Vec<PathBuf>> {
            std::fs::read_dir(self.state.join(name))?.map(|entry| Ok(entry?.path())).collect()
        };
        let sandboxes = list("sandboxes")?.iter().filter_map(|path| read(path)).collect();
        let (mut containers, mut unknown) = (Vec::new(), Vec::new());
        for dir in list("containers")? {
            match read(&dir.join("container.json")) {
                Some(status) => containers.push(status),
                None => unknown.extend(dir.file_name().map(|id| id.to_string_lossy().into_owned())),
            }
        }
        for id in unknown {
            self.remove_container(&id)?;
        }
        Ok((sandboxes, containers))
    }

    /// Removes all but what is still in the trash. The logs of what ran are elsewhere.
    pub fn remove_all(&self) -> io::Result<()> {
        for name in DIRECTORIES.iter().filter(|name| **name != TRASH) {
            ignore_missing(std::fs::remove_dir_all(self.state.join(name)))?;
        }
        match std::fs::remove_dir(self.trash()) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => ignore_missing(other),
        }
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
