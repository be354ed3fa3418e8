//! What is wrong with an expression, shown as cel-go shows it: with the line and a mark below the place.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// In characters; `None` when it has no place.
    pub place: Option<u32>,
    pub text: String,
}

impl Issue {
    pub fn new(place: u32, text: impl Into<String>) -> Self {
        Self { place: Some(place), text: text.into() }
    }

    pub fn nowhere(text: impl Into<String>) -> Self {
        Self { place: None, text: text.into() }
    }
}

/// All that is wrong with one expression, in the order of places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Issues {
    text: String,
    issues: Vec<Issue>,
}

const MAX_SHOWN: usize = 100;
const MAX_LINE: usize = 16_384;

impl Issues {
    pub fn new(source: &str, mut issues: Vec<Issue>) -> Self {
        // What has no place comes first, as if it were before the first line.
        issues.sort_by_key(|issue| issue.place.map_or(0, |place| u64::from(place) + 1));
        Self { text: source.to_owned(), issues }
    }

    pub fn list(&self) -> &[Issue] {
        &self.issues
    }

    /// The line of a place, its number from 1, and the column from 0.
    fn locate(&self, place: u32) -> (&str, usize, usize) {
        let mut rest = place as usize;
        let mut number = 0;
        for line in self.text.split('\n') {
            number += 1;
            let length = line.chars().count();
            if rest <= length {
                return (line, number, rest);
            }
            rest -= length + 1;
        }
        ("", number, 0)
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().take(MAX_SHOWN).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let Some(place) = issue.place else {
                write!(f, "ERROR: <input>:-1:0: {}", issue.text)?;
                continue;
            };
            if self.text.is_empty() {
                write!(f, "ERROR: <input>:1:0: {}", issue.text)?;
                continue;
            }
            let (line, number, column) = self.locate(place);
            write!(f, "ERROR: <input>:{number}:{}: {}", column + 1, issue.text)?;
            if line.len() > MAX_LINE {
                continue;
            }
            // Wide characters get wide marks, so that the columns agree.
            let mut chars = line.chars();
            let wide = |c: char| c.len_utf8() > 1;
            let dots: String = chars.by_ref().take(column).map(|c| if wide(c) { '．' } else { '.' }).collect();
            let mark = if chars.next().is_some_and(wide) { '＾' } else { '^' };
            write!(f, "\n | {}\n | {dots}{mark}", line.replace('\t', " "))?;
        }
        let more = self.issues.len().saturating_sub(MAX_SHOWN);
        if more > 0 { write!(f, "\n{more} more errors were truncated") } else { Ok(()) }
    }
}
