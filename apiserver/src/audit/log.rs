//! The audit log as a file of one JSON object per line, which is put aside when it is large.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::{Timestamp, ToSpan};

use super::Sink;

const MEGABYTE: u64 = 1 << 20;
/// Upstream's, when nothing is said.
pub const DEFAULT_MEGABYTES: u64 = 100;

/// What becomes of what was put aside. 0 means: whatever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of one file.
    pub megabytes: u64,
    /// Older ones go.
    pub days: i64,
    /// Of more files than these, the oldest go.
    pub backups: usize,
}

pub struct LogFile {
    path: PathBuf,
    limits: Limits,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    bytes: u64,
}

impl LogFile {
    /// Goes on where it ended.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, limits: Limits) -> std::io::Result<Self> {
        let open = Mutex::new(Open::new(path)?);
        Ok(Self { path: path.to_owned(), limits, open })
    }

    /// The file aside, under a name that says when, and a new one in its place.
    fn rotate(&self, open: &mut Open, now: Timestamp) -> std::io::Result<()> {
        let (stem, extension) = self.name();
        let when = now.strftime("%Y-%m-%dT%H-%M-%S.%3f");
        std::fs::rename(&self.path, self.path.with_file_name(format!("{stem}-{when}{extension}")))?;
        *open = Open::new(&self.path)?;
        self.clean(now)
    }

    fn name(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let extension = self.path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
        (text(self.path.file_stem()), extension.unwrap_or_default())
    }

    /// Removes what is too old or too much.
    fn clean(&self, now: Timestamp) -> std::io::Result<()> {
        let (stem, extension) = self.name();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut backups = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let rest = name.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(&extension));
            let when = rest.and_then(|rest| rest.strip_prefix('-')).and_then(time);
            backups.extend(when.map(|when| (when, name)));
        }
        backups.sort_unstable();
        let count = backups.len();
        let oldest = now.checked_sub((24 * self.limits.days).hours()).unwrap_or(now);
        for (index, (when, name)) in backups.iter().enumerate() {
            let too_old = self.limits.days > 0 && *when < oldest;
            let too_many = self.limits.backups > 0 && count - index > self.limits.backups;
            if too_old || too_many {
                std::fs::remove_file(folder.join(name))?;
            }
        }
        Ok(())
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    format!("{date}T{}Z", time.replace('-', ":")).parse().ok()
}

impl Open {
    fn new(path: &Path) -> std::io::Result<Self> {
        // Like what it tells of, it is nobody else's business.
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

impl Sink for LogFile {
    /// The line is written when this returns, as upstream's default mode has it.
    fn write(&self, line: &[u8], now: Timestamp) -> std::io::Result<()> {
        // A half line may be left by a full disk; the next one is whole again.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let megabytes = if self.limits.megabytes == 0 { DEFAULT_MEGABYTES } else { self.limits.megabytes };
        if open.bytes > 0 && open.bytes + line.len() as u64 > megabytes * MEGABYTE {
            self.rotate(&mut open, now)?;
        }
        open.file.write_all(line)?;
        open.bytes += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_put_aside_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let names = || {
            let names = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort_unstable();
            names
        };
        std::fs::write(folder.path().join("audit-note.log"), "x").unwrap();
        std::fs::write(&path, "before\n").unwrap();
        let log = LogFile::open(&path, Limits { megabytes: 1, days: 10, backups: 2 }).unwrap();
        let half = vec![b'x'; 600 << 10];
        let days = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05"];
        for day in days {
            log.write(&half, at(&format!("{day}T12:30:00.5Z"))).unwrap();
        }
        assert_eq!(
            names(),
            ["audit-2026-01-04T12-30-00.500.log", "audit-2026-01-05T12-30-00.500.log", "audit-note.log", "audit.log"]
        );
        assert_eq!(std::fs::metadata(&path).unwrap().len(), half.len() as u64);
        log.write(&half, at("2026-01-15T00:00:00Z")).unwrap();
        assert_eq!(
            names(),
            ["audit-2026-01-05T12-30-00.500.log", "audit-2026-01-15T00-00-00.000.log", "audit-note.log", "audit.log"]
        );
    }
}
