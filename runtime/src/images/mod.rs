//! The node's images: a content store, an index of references, and layers unpacked once.
//!
//! ```text
//! <dir>/oci-layout, index.json      an OCI image layout: manifests by reference
//! <dir>/blobs/sha256/<hex>          configs, manifests and layers as they came
//! <dir>/snapshots/<hex of chain id> one unpacked layer each: an overlayfs lower directory
//! <dir>/tmp                         what is being written; emptied on open
//! ```
//! Everything reaches its place by rename after its digest was checked, so a crash leaves nothing half written that is
//! ever read. The index is replaced last.

mod archive;
mod builtin;
mod content;
mod digest;
mod layer;
mod reference;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use reference::normalize;

use content::Content;
use digest::Digest;

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("use the image directory {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("read the archive: {0}")]
    Archive(String),
    #[error("verify {what}: digest is {actual}, expected {expected}")]
    Digest { what: String, expected: String, actual: String },
    #[error("parse image reference {reference:?}: {reason}")]
    Reference { reference: String, reason: &'static str },
    #[error("find image {0:?} in the node's image store")]
    NotFound(String),
    #[error("remove image {0:?}: a container uses it")]
    InUse(String),
}

type Result<T> = std::result::Result<T, ImageError>;

/// An image that is complete on this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Digest of the config: `sha256:…`.
    pub id: String,
    /// Digest of the manifest: `sha256:…`.
    pub digest: String,
    /// Fully qualified, such as `docker.io/library/busybox:1.37`; sorted.
    pub references: Vec<String>,
    /// Bytes of the layers as they came.
    pub size: u64,
    pub config: ImageConfig,
    /// Chain ids, bottom first.
    chain: Vec<String>,
}

/// What a container takes from its image (the OCI image configuration's `config`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    #[serde(deserialize_with = "null_default")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    pub env: Vec<String>,
    pub user: String,
    pub working_dir: String,
    pub stop_signal: Option<String>,
    #[serde(deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
}

fn null_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Cheap to clone; all clones are one store. Methods block on the disk: call `load` and `remove` off the async threads.
#[derive(Clone, Debug)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: Content,
    /// Manifest digest to image. The whole state; `index.json` is its copy on disk.
    images: Mutex<BTreeMap<String, Image>>,
    /// Held while layers are unpacked or deleted, so that one never sees the other's half.
    writing: Mutex<()>,
    changes: watch::Sender<u64>,
}

impl ImageStore {
    pub fn open(dir: &Path) -> Result<Self> {
        let content = Content::open(dir)?;
        let mut images = BTreeMap::new();
        for (manifest, references) in content.read_index()? {
            // An image whose files are gone is dropped rather than failing the node: it can be loaded again.
            match content.read_image(&manifest, references) {
                Ok(image) => drop(images.insert(image.digest.clone(), image)),
                Err(error) => tracing::warn!(%manifest, %error, "image is incomplete, dropping it from the index"),
            }
        }
        let inner =
            Inner { content, images: Mutex::new(images), writing: Mutex::new(()), changes: watch::Sender::new(0) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Imports a tar of an OCI image layout or of `docker save`, plain or compressed with gzip or zstd. Answers with the
    /// images it brought. A failure changes nothing that can be seen.
    pub fn load(&self, archive: impl Read) -> Result<Vec<Image>> {
        let _writing = self.lock_writing();
        let loaded = archive::import(&self.inner.content, archive)?;
        self.publish(loaded)
    }

    /// Makes an image of one executable, `/name` in an otherwise empty root file system, under `reference`. Does nothing when
    /// the executable is the one of the last call.
    pub fn provide(&self, reference: &str, executable: &Path, name: &str, config: ImageConfig) -> Result<Image> {
        let reference = normalize(reference)?;
        let _writing = self.lock_writing();
        let stamp = builtin::stamp(executable)?;
        if let Some(image) = self.find(&reference)
            && image.config.labels.get(builtin::STAMP_LABEL) == Some(&stamp)
        {
            return Ok(image);
        }
        let (manifest, references) = builtin::build(&self.inner.content, &reference, executable, name, config, stamp)?;
        let mut images = self.publish(vec![(manifest, references)])?;
        images.pop().ok_or(ImageError::NotFound(reference))
    }

    /// Sorted by id.
    pub fn list(&self) -> Vec<Image> {
        let mut images: Vec<Image> = self.lock_images().values().cloned().collect();
        images.sort_by(|a, b| a.id.cmp(&b.id));
        images
    }

    /// Finds an image as a pod names it: a short or full reference, a reference by digest, or an image id.
    pub fn resolve(&self, reference: &str) -> Option<Image> {
        if reference.starts_with("sha256:") {
            return self
                .lock_images()
                .values()
                .find(|image| image.id == reference || image.digest == reference)
                .cloned();
        }
        self.find(&normalize(reference).ok()?)
    }

    /// Overlay lower directories of an image, top layer first.
    pub fn layers(&self, id: &str) -> Result<Vec<PathBuf>> {
        let images = self.lock_images();
        let image = images.values().find(|image| image.id == id).ok_or_else(|| ImageError::NotFound(id.to_owned()))?;
        Ok(image.chain.iter().rev().map(|chain| self.inner.content.snapshot(chain)).collect())
    }

    /// Drops a reference, or by `sha256:…` the whole image; what no image needs any more is deleted from the disk.
    /// `in_use` are the ids of images that containers run from: those stay.
    pub fn remove(&self, reference: &str, in_use: &BTreeSet<String>) -> Result<Image> {
        let _writing = self.lock_writing();
        let image = self.resolve(reference).ok_or_else(|| ImageError::NotFound(reference.to_owned()))?;
        let remaining: Vec<String> = if reference.starts_with("sha256:") {
            Vec::new()
        } else {
            let dropped = normalize(reference)?;
            image.references.iter().filter(|name| **name != dropped).cloned().collect()
        };
        if remaining.is_empty() && in_use.contains(&image.id) {
            return Err(ImageError::InUse(reference.to_owned()));
        }
        {
            let mut images = self.lock_images();
            if remaining.is_empty() {
                images.remove(&image.digest);
            } else if let Some(kept) = images.get_mut(&image.digest) {
                kept.references = remaining;
            }
            self.inner.content.write_index(images.values())?;
            self.inner.content.collect_garbage(images.values())?;
        }
        self.inner.changes.send_modify(|generation| *generation += 1);
        Ok(image)
    }

    /// Changes whenever an image came or went.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Adds complete images to the index; a reference moves to the image that came last.
    fn publish(&self, loaded: Vec<(Digest, Vec<String>)>) -> Result<Vec<Image>> {
        let mut images = self.lock_images();
        let mut answer = Vec::new();
        for (manifest, references) in loaded {
            for other in images.values_mut() {
                other.references.retain(|name| !references.contains(name));
            }
            let mut all = references;
            if let Some(known) = images.get(manifest.as_str()) {
                all.extend(known.references.iter().cloned());
            }
            let image = self.inner.content.read_image(&manifest, all)?;
            images.insert(image.digest.clone(), image.clone());
            answer.push(image);
        }
        self.inner.content.write_index(images.values())?;
        self.inner.changes.send_modify(|generation| *generation += 1);
        Ok(answer)
    }

    fn find(&self, normalized: &str) -> Option<Image> {
        let images = self.lock_images();
        if let Some((_, digest)) = normalized.split_once('@') {
            return images.get(digest).cloned();
        }
        images.values().find(|image| image.references.iter().any(|name| name == normalized)).cloned()
    }

    fn lock_images(&self) -> MutexGuard<'_, BTreeMap<String, Image>> {
        self.inner.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writing(&self) -> MutexGuard<'_, ()> {
        self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
