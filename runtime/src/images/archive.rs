//! Import of an archive: an OCI image layout, or what `docker save` writes (also its hybrid of both).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::content::{Content, at, chain_ids, digest, parse};
use super::digest::{Digest, Hashing};
use super::wire::{
    CONFIG, CONTAINERD_NAME, ConfigFile, Descriptor, DockerEntry, Index, LAYER, MANIFEST, Manifest, REF_NAME,
};
use super::{ImageError, Result, layer, normalize};

/// A file of the archive, spooled to disk: its place and content digest.
struct Spooled {
    path: PathBuf,
    digest: Digest,
    size: u64,
}

type Files = BTreeMap<PathBuf, Spooled>;

/// Brings all images of the archive into the content store, unpacked. Answers with manifests and their references, fully
/// qualified.
pub(super) fn import(content: &Content, archive: impl Read) -> Result<Vec<(Digest, Vec<String>)>> {
    let folder = content.temporary();
    fs::create_dir(&folder).map_err(at(&folder))?;
    let imported = spool(&folder, archive).and_then(|files| {
        if files.contains_key(Path::new("manifest.json")) {
            import_docker(content, &files)
        } else if files.contains_key(Path::new("index.json")) {
            import_layout(content, &files)
        } else {
            Err(ImageError::Archive("it has neither index.json (OCI layout) nor manifest.json (docker save)".into()))
        }
    });
    fs::remove_dir_all(&folder).map_err(at(&folder))?;
    imported
}

/// Unpacks gzip or zstd when the first bytes say so.
pub(super) fn decompress<'a>(input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let head = input.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(input))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(input)?)
    } else {
        Box::new(input)
    })
}

fn spool(folder: &Path, archive: impl Read) -> Result<Files> {
    let broken = |error: io::Error| ImageError::Archive(error.to_string());
    let mut archive = tar::Archive::new(decompress(archive).map_err(broken)?);
    let mut files = Files::new();
    let mut links = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = clean(&entry.path().map_err(broken)?);
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                let path = folder.join(files.len().to_string());
                let mut sink = Hashing::new(File::create(&path).map_err(at(&path))?);
                io::copy(&mut entry, &mut sink).map_err(broken)?;
                let (digest, size) = sink.finish();
                files.insert(name, Spooled { path, digest, size });
            }
            // `docker save` links a layer that two images share.
            tar::EntryType::Symlink | tar::EntryType::Link => {
                if let Some(target) = entry.link_name().map_err(broken)? {
                    let base = name.parent().unwrap_or(Path::new("")).to_owned();
                    let symbolic = entry.header().entry_type() == tar::EntryType::Symlink;
                    let target = if symbolic { resolve(&base, &target) } else { clean(&target) };
                    links.push((name, target));
                }
            }
            _ => {}
        }
    }
    for (name, target) in links {
        if let Some(found) = files.get(&target) {
            let copy = Spooled { path: found.path.clone(), digest: found.digest.clone(), size: found.size };
            files.insert(name, copy);
        }
    }
    Ok(files)
}

fn clean(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

fn resolve(base: &Path, target: &Path) -> PathBuf {
    let mut answer = base.to_owned();
    for part in target.components() {
        match part {
            Component::ParentDir => drop(answer.pop()),
            Component::Normal(name) => answer.push(name),
            _ => {}
        }
    }
    answer
}

fn import_docker(content: &Content, files: &Files) -> Result<Vec<(Digest, Vec<String>)>> {
    let entries: Vec<DockerEntry> = parse(&read(file(files, "manifest.json")?)?, "manifest.json")?;
    let mut images = Vec::new();
    for entry in entries {
        let config = content.put_blob(&read(file(files, &entry.config)?)?)?;
        let mut layers = Vec::new();
        for name in &entry.layers {
            let layer = file(files, name)?;
            adopt(content, layer)?;
            layers.push(descriptor(LAYER, &layer.digest, layer.size));
        }
        let config_size = fs::metadata(content.blob(&config)).map_err(at(&content.blob(&config)))?.len();
        let config = descriptor(CONFIG, &config, config_size);
        let manifest = Manifest { schema_version: 2, media_type: MANIFEST.to_owned(), config, layers };
        let bytes = serde_json::to_vec(&manifest).map_err(|error| ImageError::Archive(error.to_string()))?;
        let manifest = content.put_blob(&bytes)?;
        unpack(content, &manifest)?;
        let references = entry.repo_tags.unwrap_or_default();
        images.push((manifest, references.iter().map(|tag| normalize(tag)).collect::<Result<_>>()?));
    }
    Ok(images)
}

fn import_layout(content: &Content, files: &Files) -> Result<Vec<(Digest, Vec<String>)>> {
    let index: Index = parse(&read(file(files, "index.json")?)?, "index.json")?;
    let mut images = Vec::new();
    for entry in &index.manifests {
        let Some(manifest) = platform_manifest(files, entry)? else { continue };
        let document: Manifest = parse(&read(blob(files, &manifest)?)?, &manifest)?;
        for part in std::iter::once(&document.config).chain(&document.layers) {
            adopt(content, blob(files, &part.digest)?)?;
        }
        adopt(content, blob(files, &manifest)?)?;
        let manifest = digest(&manifest)?;
        unpack(content, &manifest)?;
        let name = entry.annotations.get(CONTAINERD_NAME).or_else(|| entry.annotations.get(REF_NAME));
        images.push((manifest, name.map(|name| normalize(name)).transpose()?.into_iter().collect()));
    }
    if images.is_empty() {
        return Err(ImageError::Archive("it has no image for this platform".into()));
    }
    Ok(images)
}

/// Follows nested indexes to the manifest for this machine. `None` when it is for another one.
fn platform_manifest(files: &Files, entry: &Descriptor) -> Result<Option<String>> {
    if entry.platform.as_ref().is_some_and(|platform| !platform.is_ours()) {
        return Ok(None);
    }
    if !entry.is_index() {
        return Ok(Some(entry.digest.clone()));
    }
    let nested: Index = parse(&read(blob(files, &entry.digest)?)?, &entry.digest)?;
    for inner in nested.manifests.iter().filter(|inner| !inner.is_index()) {
        // An archive of one platform may list the others' manifests without their blobs.
        let present = digest(&inner.digest).is_ok_and(|digest| files.contains_key(&blob_path(&digest)));
        if present && let Some(found) = platform_manifest(files, inner)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Moves a file of the archive into the content store.
fn adopt(content: &Content, found: &Spooled) -> Result<()> {
    let path = content.blob(&found.digest);
    if path.exists() {
        return Ok(());
    }
    // A hard link, since a name of the archive can be adopted twice.
    fs::hard_link(&found.path, &path).map_err(at(&path))
}

/// Unpacks the layers that no earlier image brought, checking each against its diff id.
fn unpack(content: &Content, manifest: &Digest) -> Result<()> {
    let manifest: Manifest = content.read_json(manifest)?;
    let config: ConfigFile = content.read_json(&digest(&manifest.config.digest)?)?;
    let chain = chain_ids(&config)?;
    if chain.len() != manifest.layers.len() {
        let (layers, ids) = (manifest.layers.len(), chain.len());
        return Err(ImageError::Archive(format!("the manifest has {layers} layers and the config {ids}")));
    }
    let mut lower: Vec<PathBuf> = Vec::new();
    for ((link, diff), blob) in chain.iter().zip(&config.rootfs.diff_ids).zip(&manifest.layers) {
        let target = content.snapshot(link.as_str());
        if !target.exists() {
            let source = content.blob(&digest(&blob.digest)?);
            let temporary = content.temporary();
            let file = File::open(&source).map_err(at(&source))?;
            let mut stream = Hashing::new(decompress(file).map_err(at(&source))?);
            layer::unpack(&mut stream, &temporary, &lower)?;
            let (actual, _) = stream.finish();
            if actual.as_str() != diff {
                let (expected, actual) = (diff.clone(), actual.to_string());
                return Err(ImageError::Digest { what: format!("layer {}", blob.digest), expected, actual });
            }
            fs::rename(&temporary, &target).map_err(at(&target))?;
        }
        lower.insert(0, target);
    }
    Ok(())
}

pub(super) fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_string(),
        size,
        annotations: BTreeMap::new(),
        platform: None,
    }
}

fn file<'a>(files: &'a Files, name: &str) -> Result<&'a Spooled> {
    files.get(&clean(Path::new(name))).ok_or_else(|| ImageError::Archive(format!("it has no file {name:?}")))
}

fn blob<'a>(files: &'a Files, text: &str) -> Result<&'a Spooled> {
    let expected = digest(text)?;
    let found =
        files.get(&blob_path(&expected)).ok_or_else(|| ImageError::Archive(format!("it lacks the blob {expected}")))?;
    if found.digest != expected {
        let (expected, actual) = (expected.to_string(), found.digest.to_string());
        return Err(ImageError::Digest { what: "a blob of the archive".into(), expected, actual });
    }
    Ok(found)
}

fn blob_path(digest: &Digest) -> PathBuf {
    Path::new("blobs/sha256").join(digest.hex())
}

fn read(found: &Spooled) -> Result<Vec<u8>> {
    fs::read(&found.path).map_err(at(&found.path))
}
