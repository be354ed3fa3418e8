//! Files that nobody else may read and that are whole or not there.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Written by rename.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    let attempt = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    attempt().with_context(|| format!("write {}", path.display()))
}

pub fn private_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).with_context(|| format!("protect {}", path.display()))
}
