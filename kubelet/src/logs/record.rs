//! One line of a CRI log: `2026-11-22T15:00:00.000000000Z stdout F text`.

use jiff::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub time: &'a [u8],
    pub stream: &'a [u8],
    /// The line goes on in the next record of its stream.
    pub partial: bool,
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// `line` without its newline. `None`: not a record.
    pub fn parse(line: &'a [u8]) -> Option<Record<'a>> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let partial = match tag.split(|byte| *byte == b':').next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        Some(Record { time, stream, partial, text: parts.next().unwrap_or_default() })
    }

    pub fn timestamp(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.time).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        type Text<'a> = Option<(&'a [u8], bool)>;
        let table: [(&[u8], Text<'_>); 6] = [
            (b"2026-11-22T15:00:00.000000001Z stdout F hello world", Some((b"hello world", false))),
            (b"2026-11-22T15:00:00Z stderr P half", Some((b"half", true))),
            (b"2026-11-22T15:00:00Z stdout F ", Some((b"", false))),
            (b"2026-11-22T15:00:00Z stdout F", Some((b"", false))),
            (b"2026-11-22T15:00:00Z stdout X y", None),
            (b"", None),
        ];
        for (line, expected) in table {
            let actual = Record::parse(line).map(|record| (record.text, record.partial));
            assert_eq!(actual, expected, "{}", String::from_utf8_lossy(line));
        }
        let record = Record::parse(table[0].0).expect("a record");
        assert_eq!(record.timestamp().map(|time| time.subsec_nanosecond()), Some(1));
    }
}
