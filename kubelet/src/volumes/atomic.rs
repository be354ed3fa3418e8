//! A directory whose files change all at once.
//!
//! ```text
//! volume/..2026_11_22_15_00_00.1/key     the files
//! volume/..data -> ..2026_…              replaced by rename: this is the moment of change
//! volume/key -> ..data/key               what containers open
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::ownership;
use super::project::File;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes `dir` hold exactly `files`; `stamp` makes the version's name and must be a new one. Returns whether anything changed.
pub fn write(dir: &Path, files: &[File], group: Option<u32>, stamp: &str) -> io::Result<bool> {
    fs::create_dir_all(dir)?;
    let old = fs::read_link(dir.join(DATA)).ok();
    if old.as_ref().is_some_and(|old| same(&dir.join(old), files, group)) {
        return Ok(false);
    }
    let version = dir.join(format!("..{stamp}"));
    write_version(&version, files, group)?;
    let new = dir.join(DATA_NEW);
    remove_if_there(&new)?;
    symlink(format!("..{stamp}"), &new)?;
    fs::rename(&new, dir.join(DATA))?;
    link_names(dir, files)?;
    remove_versions(dir, &version)?;
    Ok(true)
}

/// All but the present one: the one before, and what interrupted changes have left.
fn remove_versions(dir: &Path, current: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let version = entry.file_name().to_string_lossy().starts_with("..") && entry.file_type()?.is_dir();
        if version && entry.path() != current {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn mode_of(file: &File, group: Option<u32>) -> u32 {
    // Members of the pod's group can read.
    file.mode | group.map_or(0, |_| 0o440)
}

/// The same names, contents and modes.
fn same(version: &Path, files: &[File], group: Option<u32>) -> bool {
    let Ok(mut there) = list(version, Path::new("")) else { return false };
    files.iter().all(|file| {
        let path = version.join(&file.path);
        let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o777).ok();
        there.remove(Path::new(&file.path))
            && mode == Some(mode_of(file, group))
            && fs::read(&path).is_ok_and(|data| data == file.data)
    }) && there.is_empty()
}

fn list(root: &Path, below: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut out = BTreeSet::new();
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            out.extend(list(root, &path)?);
        } else {
            out.insert(path);
        }
    }
    Ok(out)
}

fn write_version(version: &Path, files: &[File], group: Option<u32>) -> io::Result<()> {
    fs::create_dir(version)?;
    // The umask has no say.
    fs::set_permissions(version, fs::Permissions::from_mode(0o755))?;
    for file in files {
        let path = version.join(&file.path);
        if let Some(parent) = path.parent().filter(|parent| *parent != version) {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.data)?;
        if let Some(uid) = file.uid {
            chown(&path, Some(uid), None)?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
    }
    match group {
        Some(group) => ownership::apply(version, group, true),
        None => Ok(()),
    }
}

/// One link for each first path component; links of files that are gone go too.
fn link_names(dir: &Path, files: &[File]) -> io::Result<()> {
    let first = |file: &File| file.path.split('/').next().unwrap_or_default().to_owned();
    let wanted: BTreeSet<String> = files.iter().map(first).collect();
    for name in &wanted {
        let link = dir.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(format!("{DATA}/{name}"), &link)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !wanted.contains(&name) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, data: &str, mode: u32) -> File {
        File { path: path.to_owned(), mode, data: data.as_bytes().to_vec(), uid: None }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .expect("the volume")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with(".."))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_change_together() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("v");
        let one = [file("a", "1", 0o444), file("d/x", "2", 0o600)];
        assert!(write(&dir, &one, None, "1").expect("write"));
        assert_eq!(names(&dir), ["a", "d"]);
        assert_eq!(fs::read_to_string(dir.join("d/x")).expect("read"), "2");
        let mode = fs::metadata(dir.join("d/x")).expect("stat").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        assert!(!write(&dir, &one, None, "2").expect("write"), "nothing changed");

        let open = dir.join("..data").canonicalize().expect("the version");
        assert!(write(&dir, &[file("a", "3", 0o444), file("b", "4", 0o444)], None, "3").expect("write"));
        assert_eq!(names(&dir), ["a", "b"]);
        assert_eq!(fs::read_to_string(dir.join("a")).expect("read"), "3");
        assert!(!open.exists(), "the old version is gone");
        assert!(
            write(&dir, &[file("a", "3", 0o400), file("b", "4", 0o444)], None, "4").expect("write"),
            "a mode is a change"
        );
    }

    #[test]
    fn an_interrupted_change_is_finished_by_the_next() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("v");
        write(&dir, &[file("a", "1", 0o444)], None, "1").expect("write");
        // Died between making the new link and the rename.
        symlink("..2", dir.join(DATA_NEW)).expect("a link");
        assert!(write(&dir, &[file("a", "2", 0o444)], None, "3").expect("write"));
        assert_eq!(fs::read_to_string(dir.join("a")).expect("read"), "2");
    }
}
