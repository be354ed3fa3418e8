//! The files of one log: `0.log` is written, `0.log.1` is the one before, `0.log.2` older still.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::record::Record;

/// Oldest first; the current file is last, whether or not it exists.
pub fn segments(log: &Path) -> Vec<PathBuf> {
    let numbered = |number: u32| {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let mut found: Vec<PathBuf> = (1..).map(numbered).take_while(|path| path.exists()).collect();
    found.reverse();
    found.push(log.to_owned());
    found
}

/// A place in a log: which of its segments, and the offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub segment: usize,
    pub offset: u64,
}

/// Where the last `lines` records begin.
pub fn tail_position(segments: &[PathBuf], lines: usize) -> io::Result<Position> {
    let end = |segment: usize| segments.get(segment).and_then(|path| path.metadata().ok()).map_or(0, |meta| meta.len());
    let last = segments.len().saturating_sub(1);
    if lines == 0 {
        return Ok(Position { segment: last, offset: end(last) });
    }
    let mut missing = lines;
    for segment in (0..segments.len()).rev() {
        match File::open(&segments[segment]) {
            Ok(mut file) => match tail_offset(&mut file, &mut missing)? {
                Some(offset) => return Ok(Position { segment, offset }),
                None => continue,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
    }
    Ok(Position { segment: 0, offset: 0 })
}

/// Walks back over newlines; counts `missing` down. `None`: the file does not hold enough of them.
fn tail_offset(file: &mut File, missing: &mut usize) -> io::Result<Option<u64>> {
    const CHUNK: u64 = 32 << 10;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut last_byte = true;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        file.take(end - start).read_to_end(&mut buffer)?;
        for (index, byte) in buffer.iter().enumerate().rev() {
            if *byte == b'\n' && !std::mem::take(&mut last_byte) {
                *missing -= 1;
                if *missing == 0 {
                    return Ok(Some(start + index as u64 + 1));
                }
            }
            last_byte = false;
        }
        end = start;
    }
    // The first line of a file has no newline before it.
    if !last_byte {
        *missing -= 1;
    }
    Ok((*missing == 0).then_some(0))
}

/// The end of a log as plain text: at most so many lines, and of them at most the last so many bytes.
pub fn tail_text(log: &Path, lines: usize, bytes: usize) -> Option<String> {
    let segments = segments(log);
    let position = tail_position(&segments, lines).ok()?;
    let mut text = Vec::new();
    for (index, path) in segments.iter().enumerate().skip(position.segment) {
        let Ok(mut file) = File::open(path) else { continue };
        let from = if index == position.segment { position.offset } else { 0 };
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut raw = Vec::new();
        file.read_to_end(&mut raw).ok()?;
        for record in raw.split(|byte| *byte == b'\n').filter_map(Record::parse) {
            text.extend_from_slice(record.text);
            if !record.partial {
                text.push(b'\n');
            }
        }
    }
    let text = &text[text.len().saturating_sub(bytes)..];
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, files: &[(&str, &[&str])]) -> PathBuf {
        for (name, lines) in files {
            let text: String = lines.iter().map(|line| format!("2026-01-01T00:00:00Z stdout F {line}\n")).collect();
            std::fs::write(dir.join(name), text).expect("write");
        }
        dir.join("0.log")
    }

    #[test]
    fn tails_reach_into_rotated_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = log(dir.path(), &[("0.log.2", &["a", "b"]), ("0.log.1", &["c", "d"]), ("0.log", &["e"])]);
        let table = [(0, ""), (1, "e\n"), (2, "d\ne\n"), (3, "c\nd\ne\n"), (4, "b\nc\nd\ne\n"), (9, "a\nb\nc\nd\ne\n")];
        for (lines, expected) in table {
            assert_eq!(tail_text(&path, lines, 1000).as_deref(), Some(expected), "{lines} lines");
        }
        assert_eq!(tail_text(&path, 9, 3).as_deref(), Some("\ne\n"), "bytes are limited");
        assert_eq!(tail_text(&dir.path().join("none"), 5, 5).as_deref(), Some(""));
        assert_eq!(segments(&path).len(), 3);
    }

    #[test]
    fn long_lines_cross_chunks() {
        let dir = tempfile::tempdir().expect("a directory");
        let long = "x".repeat(50_000);
        let path = log(dir.path(), &[("0.log", &["a", &long, "b"])]);
        assert_eq!(tail_text(&path, 2, 200_000).map(|text| text.len()), Some(50_003));
    }
}
