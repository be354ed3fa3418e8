//! Logs of containers, as the runtime's launcher writes them: CRI records in files that rotate.
//!
//! [`record`] reads a line; [`files`] knows the rotated files and finds the last lines; [`reader`] streams, and follows.

pub mod files;
pub mod reader;
pub mod record;

use std::path::Path;

pub use files::tail_text;

/// What a reader asks for (core/v1 PodLogOptions).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub follow: bool,
    /// `None`: from the beginning.
    pub tail_lines: Option<usize>,
    pub since: Option<jiff::Timestamp>,
    pub timestamps: bool,
    pub limit_bytes: Option<usize>,
    /// `stdout` or `stderr` alone.
    pub stream: Option<String>,
}

/// Deletes the log of one container with everything that was rotated away.
pub fn remove(log: &Path) -> std::io::Result<()> {
    for file in files::segments(log) {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
