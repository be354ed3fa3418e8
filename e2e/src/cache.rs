//! What takes long to make is kept outside the repository, so that a clean clone finds it again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

/// A place for what is made from something: another something has another place.
#[derive(Debug)]
pub struct Slot {
    path: PathBuf,
}

impl Slot {
    pub fn new(name: &str, made_from: &[Vec<u8>]) -> Result<Self> {
        Ok(Self::within(&crate::go::cache()?, name, made_from))
    }

    fn within(folder: &Path, name: &str, made_from: &[Vec<u8>]) -> Self {
        let mut hasher = Sha256::new();
        for part in made_from {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let digest: String = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { path: folder.join(format!("{name}-{digest}")) }
    }

    /// There is something here if, and only if, it is complete.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, unless somebody else does so at this moment: then that is waited for.
    pub fn fill(&self, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let beside = |what: &str| PathBuf::from(format!("{}.{what}", self.path.display()));
        let (unfinished, lock) = (beside("new"), beside("lock"));
        fs::create_dir_all(self.path.parent().unwrap_or(Path::new("/")))?;
        let lock = File::create(&lock).with_context(|| format!("make {}", lock.display()))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        if !self.path.exists() {
            if unfinished.is_dir() {
                fs::remove_dir_all(&unfinished)?;
            }
            make(&unfinished)?;
            fs::rename(&unfinished, &self.path).with_context(|| format!("write {}", self.path.display()))?;
        }
        Ok(self.path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn it_is_made_once_for_each_source() {
        let folder = tempfile::tempdir().unwrap();
        let made = AtomicUsize::new(0);
        let fill = |source: &str| {
            let slot = Slot::within(folder.path(), "x", &[source.into()]);
            let path = slot.fill(|path| {
                made.fetch_add(1, Ordering::Relaxed);
                Ok(fs::write(path, source)?)
            });
            fs::read_to_string(path.unwrap()).unwrap()
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(fill("one"), "one"));
            }
        });
        assert_eq!(fill("two"), "two");
        assert_eq!(made.into_inner(), 2);
        let broken = Slot::within(folder.path(), "y", &[]);
        assert!(broken.fill(|path| Ok(fs::write(path, "half")?).and_then(|()| anyhow::bail!("no more"))).is_err());
        assert!(!broken.path().exists(), "what is half made is not there");
    }
}
