//! The termination message of a container: what it wrote to its file, or the end of its log when it failed and may say so there.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::logs::tail_text;

/// core/v1 Container.terminationMessagePath: as much as the file may say.
const LONGEST: u64 = 4096;
/// FallbackToLogsOnError: the last lines, and no more than so many bytes of them.
const LOG_LINES: usize = 80;
const LOG_BYTES: usize = 2048;

/// Blocks on the disk.
pub fn message(file: &Path, log: &Path, fall_back: bool, failed: bool) -> Option<String> {
    let text = match read_at_most(file, LONGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Some(format!("Error on reading termination log {}: {error}", file.display())),
    };
    if !text.is_empty() || !fall_back || !failed {
        return (!text.is_empty()).then_some(text);
    }
    tail_text(log, LOG_LINES, LOG_BYTES).filter(|text| !text.is_empty())
}

fn read_at_most(file: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, log) = (dir.path().join("t"), dir.path().join("0.log"));
        let line = |text: &str| format!("2026-01-01T00:00:00.000000000Z stderr F {text}\n");
        std::fs::write(&log, line("first") + &line("last words")).expect("write");
        assert_eq!(message(&file, &log, true, true).as_deref(), Some("first\nlast words\n"));
        assert_eq!(message(&file, &log, true, false), None, "a success has nothing to explain");
        assert_eq!(message(&file, &log, false, true), None);
        std::fs::write(&file, "x".repeat(5000)).expect("write");
        assert_eq!(message(&file, &log, true, true).map(|text| text.len()), Some(4096));
    }
}
