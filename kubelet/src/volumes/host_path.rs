//! hostPath: what has to be there already, or is made.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// core/v1 HostPathVolumeSource.type.
pub fn check(path: &Path, kind: &str) -> Result<(), String> {
    let failed = |what: &str| Err(format!("hostPath type check failed: {} is not a {what}", path.display()));
    let io_failed = |error: io::Error| format!("hostPath type check failed: {}: {error}", path.display());
    let found = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_failed(error)),
    };
    let is = |test: fn(&fs::FileType) -> bool| found.as_ref().is_some_and(test);
    match kind {
        "" => Ok(()),
        "DirectoryOrCreate" if found.is_none() => {
            fs::create_dir_all(path).map_err(io_failed)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(io_failed)
        }
        "FileOrCreate" if found.is_none() => {
            fs::File::create_new(path).map_err(io_failed)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(io_failed)
        }
        "Directory" | "DirectoryOrCreate" if is(fs::FileType::is_dir) => Ok(()),
        "Directory" | "DirectoryOrCreate" => failed("directory"),
        "File" | "FileOrCreate" if is(fs::FileType::is_file) => Ok(()),
        "File" | "FileOrCreate" => failed("file"),
        "Socket" if is(FileTypeExt::is_socket) => Ok(()),
        "Socket" => failed("socket file"),
        "CharDevice" if is(FileTypeExt::is_char_device) => Ok(()),
        "CharDevice" => failed("character device"),
        "BlockDevice" if is(FileTypeExt::is_block_device) => Ok(()),
        "BlockDevice" => failed("block device"),
        other => Err(format!("hostPath type {other:?} is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("dir")).expect("mkdir");
        fs::write(path("file"), "").expect("write");
        let table = [
            ("none", "", true),
            ("none", "Directory", false),
            ("none", "File", false),
            ("dir", "Directory", true),
            ("dir", "File", false),
            ("file", "File", true),
            ("file", "DirectoryOrCreate", false),
            ("new-dir", "DirectoryOrCreate", true),
            ("new-file", "FileOrCreate", true),
            ("nowhere/new-file", "FileOrCreate", false),
            ("file", "Socket", false),
        ];
        for (name, kind, ok) in table {
            assert_eq!(check(&path(name), kind).is_ok(), ok, "{name} as {kind}");
        }
        assert!(path("new-dir").is_dir() && path("new-file").is_file());
        assert!(check(Path::new("/dev/null"), "CharDevice").is_ok());
    }
}
