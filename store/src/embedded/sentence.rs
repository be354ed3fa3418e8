//! What went wrong with the data directory, as one sentence that says what to do.

use std::io::ErrorKind;
use std::path::Path;

pub(super) fn open(path: &Path, error: &fjall::Error) -> String {
    let directory = path.display();
    match error {
        fjall::Error::Locked => {
            format!("{directory} is in use by another process: stop that process or choose another data directory")
        }
        fjall::Error::InvalidVersion(_) => damaged_text(&directory.to_string(), "its format is unknown"),
        error => match io_kind(error) {
            Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                format!(
                    "{directory} cannot be written: check its owner and permissions or choose another data directory"
                )
            }
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) => {
                format!("the disk of {directory} is full: free some space or choose another data directory")
            }
            Some(ErrorKind::NotADirectory) => not_a_directory(&directory.to_string()),
            Some(ErrorKind::AlreadyExists) if path.is_file() => not_a_directory(&directory.to_string()),
            _ => damaged_text(&directory.to_string(), &error.to_string()),
        },
    }
}

pub(super) fn damaged(directory: &Path, damage: &str) -> String {
    damaged_text(&directory.display().to_string(), damage)
}

fn not_a_directory(directory: &str) -> String {
    format!("{directory} is a file, or below one: choose another data directory")
}

fn damaged_text(directory: &str, damage: &str) -> String {
    format!("{directory} is damaged ({damage}): restore a backup, or move the directory away to start empty")
}

/// Why a running store stopped.
pub(super) fn failure(action: &str, directory: &str, error: &fjall::Error) -> String {
    match io_kind(error) {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) => {
            format!("cannot {action}, the disk of {directory} is full: free some space and restart")
        }
        _ if matches!(error, fjall::Error::Poisoned) => {
            format!(
                "cannot {action}, the storage engine stopped after an I/O error in {directory}: check the disk and restart"
            )
        }
        _ => format!("cannot {action} in {directory} ({error}): check the disk and restart"),
    }
}

fn io_kind(error: &fjall::Error) -> Option<ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}
