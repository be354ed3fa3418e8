//! Container logs in the CRI format: `2026-11-22T15:00:00.000000000Z stdout F line`.
//!
//! `P` marks a part of a line that goes on in the next record of the same stream (if there is one), `F` its last part. Files rotate in the writer, by
//! rename and reopen: `log`, `log.1` (newest), `log.2`…; readers follow by inode.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::descriptor::Descriptor;

/// Longest content of one record, in bytes: what containerd uses.
pub const RECORD_MAX: usize = 16 * 1024;

/// Cuts one stream into records.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Splitter {
    pending: Vec<u8>,
}

impl Splitter {
    /// Calls `emit` with `P` or `F` and the content of each record that is complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(char, &[u8])) {
        while !bytes.is_empty() {
            let room = RECORD_MAX - self.pending.len();
            let newline = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            let (taken, tag) = match newline {
                Some(end) => (end, Some('F')),
                // One byte more than fits: the line goes on.
                None if bytes.len() > room => (room, Some('P')),
                None => (bytes.len(), None),
            };
            let (content, rest) = bytes.split_at(taken);
            bytes = if newline.is_some() { &rest[1..] } else { rest };
            match tag {
                None => self.pending.extend_from_slice(content),
                Some(tag) if self.pending.is_empty() => emit(tag, content),
                Some(tag) => {
                    self.pending.extend_from_slice(content);
                    emit(tag, &self.pending);
                    self.pending.clear();
                }
            }
        }
    }

    /// The stream is at its end: a last line without a newline stays without one for readers, as containerd writes it.
    pub fn finish(&mut self, mut emit: impl FnMut(char, &[u8])) {
        if !self.pending.is_empty() {
            emit('P', &self.pending);
            self.pending.clear();
        }
    }
}

/// A log file that rotates. Errors of the disk lose records, never the container.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogFile {
    path: PathBuf,
    file: Option<Descriptor<File>>,
    size: u64,
    max_bytes: u64,
    max_files: u32,
    /// Records not written yet.
    buffer: Vec<u8>,
}

impl LogFile {
    /// Appends to what is there. Without a path everything is dropped; `max_bytes` 0 never rotates.
    pub fn open(path: &Path, max_bytes: u64, max_files: u32) -> io::Result<Self> {
        let mut log = Self { path: path.to_owned(), file: None, size: 0, max_bytes, max_files, buffer: Vec::new() };
        if !path.as_os_str().is_empty() {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            log.reopen()?;
        }
        Ok(log)
    }

    fn reopen(&mut self) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file.into());
        Ok(())
    }

    /// Adds a record; `flush` writes it.
    pub fn record(&mut self, time: &str, stream: &str, tag: char, content: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let length = time.len() + stream.len() + content.len() + 5;
        let full = self.size + (self.buffer.len() + length) as u64 > self.max_bytes;
        if self.max_bytes > 0 && full && self.size + self.buffer.len() as u64 > 0 {
            self.flush()?;
            self.rotate()?;
        }
        // Writing to a vector cannot fail.
        let _ = write!(self.buffer, "{time} {stream} {tag} ");
        self.buffer.extend_from_slice(content);
        self.buffer.push(b'\n');
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        let Some(mut file) = self.file.as_deref() else { return Ok(()) };
        let written = file.write_all(&self.buffer);
        self.size += self.buffer.len() as u64;
        self.buffer.clear();
        written
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // The open file counts as one.
        let kept = self.max_files.max(1) - 1;
        for number in (1..kept).rev() {
            ignore_missing(std::fs::rename(numbered(number), numbered(number + 1)))?;
        }
        if kept == 0 {
            ignore_missing(std::fs::remove_file(&self.path))?;
        } else {
            ignore_missing(std::fs::rename(&self.path, numbered(1)))?;
        }
        self.reopen()
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// RFC 3339 in UTC with all nine digits, from nanoseconds since the epoch.
pub fn timestamp(nanoseconds: i64) -> String {
    let (seconds, nanos) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Days since the epoch as a date: years that begin in March, in eras of 400 years (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn date(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(char, Vec<u8>)> {
        let (mut splitter, mut records) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk, |tag, content| records.push((tag, content.to_vec())));
        }
        splitter.finish(|tag, content| records.push((tag, content.to_vec())));
        records
    }

    #[test]
    fn lines_become_records() {
        let full = vec![b'x'; RECORD_MAX];
        let with = |tail: &[u8]| [full.as_slice(), tail].concat();
        let f = |content: &[u8]| ('F', content.to_vec());
        let p = |content: &[u8]| ('P', content.to_vec());
        type Case = (&'static str, Vec<Vec<u8>>, Vec<(char, Vec<u8>)>);
        let cases: [Case; 7] = [
            ("two lines", vec![b"a\nbc\n".to_vec()], vec![f(b"a"), f(b"bc")]),
            ("an empty line", vec![b"\n\n".to_vec()], vec![f(b""), f(b"")]),
            ("a line in pieces", vec![b"a".to_vec(), b"b".to_vec(), b"c\nd".to_vec()], vec![f(b"abc"), p(b"d")]),
            ("exactly one record", vec![with(b"\n")], vec![f(&full)]),
            ("one byte more", vec![with(b"y\n")], vec![p(&full), f(b"y")]),
            ("full, then more", vec![full.clone(), b"y\n".to_vec()], vec![p(&full), f(b"y")]),
            ("three records", vec![with(&with(b"z"))], vec![p(&full), p(&full), p(b"z")]),
        ];
        for (name, chunks, expected) in cases {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            assert!(split(&chunks) == expected, "{name}");
        }
    }

    #[test]
    fn times_are_written_as_the_format_wants() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_795_359_599_999_999_999, "2026-11-22T14:59:59.999999999Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(timestamp(nanoseconds), expected);
        }
    }

    #[test]
    fn files_rotate_and_the_oldest_goes() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("pod/0.log");
        let mut log = LogFile::open(&path, 100, 3).expect("open");
        for number in 0..20 {
            log.record("T", "stdout", 'F', format!("line {number:02} {}", "x".repeat(20)).as_bytes()).expect("record");
        }
        log.flush().expect("flush");
        let read = |name: &str| std::fs::read_to_string(dir.path().join("pod").join(name)).expect("read");
        let mut names: Vec<_> = std::fs::read_dir(dir.path().join("pod"))
            .expect("list")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["0.log", "0.log.1", "0.log.2"]);
        assert!(["0.log", "0.log.1", "0.log.2"].iter().all(|name| read(name).len() <= 100));
        let all = read("0.log.2") + &read("0.log.1") + &read("0.log");
        let lines: Vec<&str> = all.lines().map(|line| &line[11..18]).collect();
        assert_eq!(lines, (14..20).map(|number| format!("line {number:02}")).collect::<Vec<_>>());
    }
}
