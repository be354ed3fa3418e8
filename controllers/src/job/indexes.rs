//! Sets of completion indexes, as a Job's status tells them: `1,3-5,7`.

use std::fmt;

/// Ranges with both ends, in order, that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// What is not below `completions` is left out, and so is what cannot be read.
    pub fn parse(text: &str, completions: i32) -> Self {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse().ok()?, last.parse::<i32>().ok()?.min(completions - 1));
            (first <= last).then_some((first, last))
        };
        text.split(',').filter_map(range).fold(Self::default(), Self::with_range)
    }

    pub fn with(self, index: i32) -> Self {
        self.with_range((index, index))
    }

    fn with_range(mut self, (mut first, mut last): (i32, i32)) -> Self {
        self.0.retain(|range| {
            let apart = range.1 < first - 1 || range.0 > last + 1;
            if !apart {
                (first, last) = (first.min(range.0), last.max(range.1));
            }
            apart
        });
        let at = self.0.partition_point(|range| range.0 < first);
        self.0.insert(at, (first, last));
        self
    }

    pub fn merged(self, other: &Self) -> Self {
        other.0.iter().fold(self, |all, range| all.with_range(*range))
    }

    pub fn has(&self, index: i32) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&index))
    }

    pub fn len(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are in both.
    pub fn common(&self, other: &Self) -> i32 {
        let overlap = |a: &(i32, i32), b: &(i32, i32)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        self.0.iter().map(|a| other.0.iter().map(|b| overlap(a, b)).sum::<i32>()).sum()
    }

    /// The first indexes below `completions` that are not in the set, at most `count`.
    pub fn missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let (mut found, mut next) = (Vec::new(), 0);
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            found.extend((next..first.min(completions)).take(count - found.len()));
            next = last + 1;
        }
        found
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (first, last)) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_told_in_ranges() {
        let table =
            [("", "", 0), ("1,2,3", "1-3", 3), ("0,1,5-7", "0,1,5-7", 5), ("3,x,9-12,20", "3,9", 2), ("2-1", "", 0)];
        for (text, expected, len) in table {
            let indexes = Indexes::parse(text, 10);
            assert_eq!((indexes.to_string().as_str(), indexes.len()), (expected, len), "{text}");
        }
        assert_eq!(Indexes::parse("1,3", 10).with(2).with(5).to_string(), "1-3,5");
    }

    #[test]
    fn the_first_missing_ones_come_first() {
        let indexes = Indexes::parse("0,2-4", 8);
        assert_eq!(indexes.missing(2, 8), [1, 5]);
        assert_eq!(indexes.missing(10, 8), [1, 5, 6, 7]);
        assert_eq!(indexes.missing(0, 8), [0; 0]);
        assert_eq!(indexes.common(&Indexes::parse("3-7", 8)), 2);
    }
}
