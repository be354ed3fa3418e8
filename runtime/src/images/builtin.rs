//! An image of a single executable, made without an archive: the binary carries its demo image this way, as itself.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::archive::descriptor;
use super::content::{Content, at};
use super::digest::{Digest, Hashing};
use super::wire::{CONFIG, ConfigFile, LAYER, MANIFEST, Manifest, RootFs};
use super::{ImageConfig, ImageError, Result};

/// Image label that tells which executable the image was made from.
pub(super) const STAMP_LABEL: &str = "setpoint.executable";

/// Changes whenever the executable is replaced.
pub(super) fn stamp(executable: &Path) -> Result<String> {
    let meta = fs::metadata(executable).map_err(at(executable))?;
    Ok(format!("{}-{}-{}.{}", meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// Writes layer, snapshot, config and manifest. The layer's tar is made, hashed and kept like any other, so the image can be
/// copied on.
pub(super) fn build(
    content: &Content,
    reference: &str,
    executable: &Path,
    name: &str,
    mut config: ImageConfig,
    stamp: String,
) -> Result<(Digest, Vec<String>)> {
    let (layer, size) = write_layer(content, executable, name)?;
    let snapshot = content.snapshot(layer.as_str());
    if !snapshot.exists() {
        let temporary = content.temporary();
        fs::create_dir(&temporary).map_err(at(&temporary))?;
        let target = temporary.join(name);
        fs::copy(executable, &target).map_err(at(&target))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).map_err(at(&target))?;
        fs::rename(&temporary, &snapshot).map_err(at(&snapshot))?;
    }
    config.labels.insert(STAMP_LABEL.to_owned(), stamp);
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let file = ConfigFile {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        config: Some(config),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![layer.to_string()] },
    };
    let bytes = encode(&file)?;
    let config = descriptor(CONFIG, &content.put_blob(&bytes)?, bytes.len() as u64);
    let layers = vec![descriptor(LAYER, &layer, size)];
    let manifest = Manifest { schema_version: 2, media_type: MANIFEST.to_owned(), config, layers };
    Ok((content.put_blob(&encode(&manifest)?)?, vec![reference.to_owned()]))
}

fn write_layer(content: &Content, executable: &Path, name: &str) -> Result<(Digest, u64)> {
    let temporary = content.temporary();
    let mut source = File::open(executable).map_err(at(executable))?;
    let length = source.metadata().map_err(at(executable))?.len();
    let mut header = tar::Header::new_ustar();
    header.set_path(name).map_err(at(executable))?;
    header.set_size(length);
    header.set_mode(0o755);
    header.set_cksum();
    let mut write = || -> io::Result<(Digest, u64)> {
        let mut sink = Hashing::new(File::create(&temporary)?);
        sink.write_all(header.as_bytes())?;
        io::copy(&mut source, &mut sink)?;
        // A tar is padded to blocks of 512 bytes and ends with two empty ones.
        sink.write_all(&vec![0; (512 - (length % 512) as usize) % 512 + 1024])?;
        Ok(sink.finish())
    };
    let (digest, size) = write().map_err(at(&temporary))?;
    let path = content.blob(&digest);
    fs::rename(&temporary, &path).map_err(at(&path))?;
    Ok((digest, size))
}

fn encode(document: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| ImageError::Archive(error.to_string()))
}
