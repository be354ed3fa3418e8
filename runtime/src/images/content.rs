//! The files: blobs by digest, snapshots by chain id, the index of references.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::digest::Digest;
use super::wire::{ConfigFile, Descriptor, Index, MANIFEST, Manifest, REF_NAME};
use super::{Image, ImageError, Result};

#[derive(Debug)]
pub(super) struct Content {
    dir: PathBuf,
    next_temporary: AtomicU64,
}

/// Turns an IO error into one that names the path.
pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> ImageError + '_ {
    move |source| ImageError::Io { path: path.to_owned(), source }
}

impl Content {
    pub fn open(dir: &Path) -> Result<Self> {
        let temporary = dir.join("tmp");
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(at(&temporary))?;
        }
        for path in [temporary, dir.join("blobs/sha256"), dir.join("snapshots")] {
            fs::create_dir_all(&path).map_err(at(&path))?;
        }
        let content = Self { dir: dir.to_owned(), next_temporary: AtomicU64::new(0) };
        content.replace("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(content)
    }

    /// A path under `tmp` that nothing else has.
    pub fn temporary(&self) -> PathBuf {
        self.dir.join("tmp").join(self.next_temporary.fetch_add(1, Ordering::Relaxed).to_string())
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// `chain` is a digest in text form, from an [`Image`].
    pub fn snapshot(&self, chain: &str) -> PathBuf {
        self.dir.join("snapshots").join(chain.trim_start_matches("sha256:"))
    }

    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.blob(&digest);
        if !path.exists() {
            let temporary = self.temporary();
            fs::write(&temporary, bytes).map_err(at(&temporary))?;
            fs::rename(&temporary, &path).map_err(at(&path))?;
        }
        Ok(digest)
    }

    /// A document of at most 8 MiB, checked against its digest.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        const LIMIT: u64 = 8 << 20;
        let path = self.blob(digest);
        let length = fs::metadata(&path).map_err(at(&path))?.len();
        if length > LIMIT {
            return Err(ImageError::Archive(format!("{digest} has {length} bytes, more than a document may have")));
        }
        let bytes = fs::read(&path).map_err(at(&path))?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            let (expected, actual) = (digest.to_string(), actual.to_string());
            return Err(ImageError::Digest { what: path.display().to_string(), expected, actual });
        }
        Ok(bytes)
    }

    pub fn read_json<T: serde::de::DeserializeOwned>(&self, digest: &Digest) -> Result<T> {
        parse(&self.read_blob(digest)?, digest.as_str())
    }

    /// Reads manifest and config of a complete image.
    pub fn read_image(&self, manifest: &Digest, mut references: Vec<String>) -> Result<Image> {
        let document: Manifest = self.read_json(manifest)?;
        let config_digest = digest(&document.config.digest)?;
        let config: ConfigFile = self.read_json(&config_digest)?;
        let chain: Vec<String> = chain_ids(&config)?.iter().map(Digest::to_string).collect();
        for link in &chain {
            let path = self.snapshot(link);
            fs::metadata(&path).map_err(at(&path))?;
        }
        references.sort();
        references.dedup();
        Ok(Image {
            id: config_digest.to_string(),
            digest: manifest.to_string(),
            references,
            size: document.layers.iter().map(|layer| layer.size).sum(),
            config: config.config.unwrap_or_default(),
            chain,
        })
    }

    /// Manifest digests with their references.
    pub fn read_index(&self) -> Result<Vec<(Digest, Vec<String>)>> {
        let path = self.dir.join("index.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(&path)(error)),
        };
        let index: Index = parse(&bytes, "index.json")?;
        let mut found: Vec<(Digest, Vec<String>)> = Vec::new();
        for entry in index.manifests {
            let manifest = digest(&entry.digest)?;
            let reference = entry.annotations.get(REF_NAME).cloned();
            match found.iter_mut().find(|(known, _)| *known == manifest) {
                Some((_, references)) => references.extend(reference),
                None => found.push((manifest, reference.into_iter().collect())),
            }
        }
        Ok(found)
    }

    pub fn write_index<'a>(&self, images: impl Iterator<Item = &'a Image>) -> Result<()> {
        let mut manifests = Vec::new();
        for image in images {
            let path = self.blob(&digest(&image.digest)?);
            let size = fs::metadata(&path).map_err(at(&path))?.len();
            let entry = |reference: Option<&String>| Descriptor {
                media_type: MANIFEST.to_owned(),
                digest: image.digest.clone(),
                size,
                annotations: reference.map(|name| (REF_NAME.to_owned(), name.clone())).into_iter().collect(),
                platform: None,
            };
            if image.references.is_empty() {
                manifests.push(entry(None));
            }
            manifests.extend(image.references.iter().map(|reference| entry(Some(reference))));
        }
        let index = Index { schema_version: 2, media_type: super::wire::INDEX.to_owned(), manifests };
        let bytes = serde_json::to_vec(&index).map_err(|error| ImageError::Archive(error.to_string()))?;
        self.replace("index.json", &bytes)
    }

    /// Deletes blobs and snapshots that none of `images` needs.
    pub fn collect_garbage<'a>(&self, images: impl Iterator<Item = &'a Image>) -> Result<()> {
        let mut needed = BTreeSet::new();
        for image in images {
            needed.insert(self.blob(&digest(&image.digest)?));
            let manifest: Manifest = self.read_json(&digest(&image.digest)?)?;
            needed.insert(self.blob(&digest(&manifest.config.digest)?));
            for layer in &manifest.layers {
                needed.insert(self.blob(&digest(&layer.digest)?));
            }
            needed.extend(image.chain.iter().map(|chain| self.snapshot(chain)));
        }
        for folder in [self.dir.join("blobs/sha256"), self.dir.join("snapshots")] {
            for entry in fs::read_dir(&folder).map_err(at(&folder))? {
                let path = entry.map_err(at(&folder))?.path();
                if needed.contains(&path) {
                    continue;
                }
                // Out of its place first: a crash in the middle leaves nothing that looks complete.
                let doomed = self.temporary();
                fs::rename(&path, &doomed).map_err(at(&path))?;
                let removed = if doomed.is_dir() { fs::remove_dir_all(&doomed) } else { fs::remove_file(&doomed) };
                removed.map_err(at(&doomed))?;
            }
        }
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (path, temporary) = (self.dir.join(name), self.temporary());
        let mut file = fs::File::create(&temporary).map_err(at(&temporary))?;
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(at(&temporary))?;
        fs::rename(&temporary, &path).map_err(at(&path))
    }
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImageError::Archive(format!("{what} is not what it should be: {error}")))
}

pub(super) fn digest(text: &str) -> Result<Digest> {
    Digest::parse(text).ok_or_else(|| ImageError::Archive(format!("{text:?} is not a sha256 digest")))
}

/// Bottom first.
pub(super) fn chain_ids(config: &ConfigFile) -> Result<Vec<Digest>> {
    let mut chain: Vec<Digest> = Vec::new();
    for diff in &config.rootfs.diff_ids {
        let next = Digest::chain(chain.last(), &digest(diff)?);
        chain.push(next);
    }
    Ok(chain)
}
