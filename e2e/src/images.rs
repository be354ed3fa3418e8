//! Images made on the spot: Debian's static busybox as a `docker save` archive.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

/// What [`busybox`] is called once it is loaded.
pub const BUSYBOX: &str = "busybox:1";
/// The same files with another configuration: its environment says `VERSION=2`.
pub const BUSYBOX_2: &str = "busybox:2";

/// Writes an archive with both images. `None`: this machine has no busybox.
pub fn busybox(folder: &Path) -> Result<Option<PathBuf>> {
    let Some(binary) = crate::find_program("busybox") else {
        crate::missing("the containers of these tests need busybox: install busybox-static")?;
        return Ok(None);
    };
    if Command::new("ldd").arg(&binary).output().is_ok_and(|output| output.status.success()) {
        crate::missing("the busybox of this machine needs libraries: install busybox-static")?;
        return Ok(None);
    }
    let layer = layer(&binary)?;
    let path = folder.join("busybox.tar");
    archive(&path, &layer).with_context(|| format!("write {}", path.display()))?;
    Ok(Some(path))
}

/// The file system: the binary, a link for each applet, and the folders that programs expect.
fn layer(binary: &Path) -> Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    for (folder, mode) in [("bin", 0o755), ("etc", 0o755), ("home", 0o755), ("root", 0o700), ("tmp", 0o1777)] {
        entry(&mut layer, tar::EntryType::Directory, folder, mode, &[])?;
    }
    entry(&mut layer, tar::EntryType::Regular, "bin/busybox", 0o755, &std::fs::read(binary)?)?;
    let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n";
    entry(&mut layer, tar::EntryType::Regular, "etc/passwd", 0o644, passwd.as_bytes())?;
    entry(&mut layer, tar::EntryType::Regular, "etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    let applets = Command::new(binary).arg("--list").output().context("ask busybox for its applets")?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|applet| *applet != "busybox") {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    Ok(layer.into_inner()?)
}

fn archive(path: &Path, layer: &[u8]) -> Result<()> {
    let mut archive = tar::Builder::new(File::create(path)?);
    let diff = hex(layer);
    let mut manifest = Vec::new();
    for (name, version) in [(BUSYBOX, "1"), (BUSYBOX_2, "2")] {
        let config = json!({
            "architecture": architecture()?,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/bin", format!("VERSION={version}")], "Cmd": ["sh"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff}")]},
            "history": [],
        });
        let config = config.to_string();
        let file = format!("{}.json", hex(config.as_bytes()));
        entry(&mut archive, tar::EntryType::Regular, &file, 0o644, config.as_bytes())?;
        manifest.push(json!({"Config": file, "RepoTags": [name], "Layers": [format!("{diff}/layer.tar")]}));
    }
    entry(&mut archive, tar::EntryType::Regular, &format!("{diff}/layer.tar"), 0o644, layer)?;
    let manifest = serde_json::Value::from(manifest).to_string();
    entry(&mut archive, tar::EntryType::Regular, "manifest.json", 0o644, manifest.as_bytes())?;
    archive.into_inner()?.sync_all()?;
    Ok(())
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn entry<W: std::io::Write>(
    archive: &mut tar::Builder<W>,
    kind: tar::EntryType,
    path: &str,
    mode: u32,
    bytes: &[u8],
) -> Result<()> {
    Ok(archive.append_data(&mut header(kind, mode, bytes.len()), path, bytes)?)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As images call it.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images have no name for the architecture {other} here"),
    }
}
