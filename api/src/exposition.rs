//! The text format of Prometheus, and what is counted for it. Counting is adding to a few atomic numbers.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One family: its type, then its lines, each with its labels (`a="b",c="d"`, or none). Without lines there is no family.
pub fn family(text: &mut String, name: &str, kind: &str, lines: impl IntoIterator<Item = (String, f64)>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return;
    }
    // A string takes everything.
    let _ = writeln!(text, "# TYPE {name} {kind}");
    for (labels, value) in lines {
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(text, "{name}{braces} {value}");
    }
}

/// A family of histograms, by their labels.
pub fn histograms<'h>(text: &mut String, name: &str, series: impl IntoIterator<Item = (String, &'h Histogram)>) {
    let mut series = series.into_iter().peekable();
    if series.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "# TYPE {name} histogram");
    series.for_each(|(labels, histogram)| histogram.render(text, name, &labels));
}

/// Upper ends that begin at `first` and grow by `factor`, as upstream's `ExponentialBuckets`.
pub fn exponential(first: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(first), |end| Some(end * factor)).take(count).collect()
}

/// How many of what was observed lie below each of some ends.
#[derive(Debug)]
pub struct Histogram {
    ends: Box<[f64]>,
    /// By the ends, the last one for what is greater than all.
    counts: Box<[AtomicU64]>,
    /// In billionths.
    sum: AtomicU64,
}

const BILLION: f64 = 1e9;

impl Histogram {
    /// Ends grow.
    pub fn new(ends: &[f64]) -> Self {
        let counts = (0..=ends.len()).map(|_| AtomicU64::new(0)).collect();
        Self { ends: ends.into(), counts, sum: AtomicU64::new(0) }
    }

    /// In seconds.
    pub fn observe(&self, took: Duration) {
        self.add(self.place(took.as_secs_f64()), 1, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// In which bucket a value belongs.
    pub fn place(&self, value: f64) -> usize {
        self.ends.iter().position(|end| value <= *end).unwrap_or(self.ends.len())
    }

    /// So many values at once that belong in one bucket. Their sum is told in billionths.
    pub fn add(&self, place: usize, count: u64, billionths: u64) {
        if let Some(bucket) = self.counts.get(place) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
        self.sum.fetch_add(billionths, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn render(&self, text: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let ends = self.ends.iter().map(|end| number(*end)).chain(["+Inf".to_owned()]);
        let mut sum = 0;
        for (end, count) in ends.zip(&self.counts) {
            sum += count.load(Ordering::Relaxed);
            let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{end}\"}} {sum}");
        }
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(text, "{name}_sum{braces} {}", self.sum.load(Ordering::Relaxed) as f64 / BILLION);
        let _ = writeln!(text, "{name}_count{braces} {sum}");
    }
}

/// As Go writes it: small and large numbers with an exponent of two digits.
fn number(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ (..=-5 | 6..)) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_told_as_prometheus_reads_it() {
        let histogram = Histogram::new(&exponential(10e-9, 10.0, 10));
        for micros in [1, 1_500, 20_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut text = String::new();
        histograms(&mut text, "workqueue_work_duration_seconds", [("name=\"job\"".to_owned(), &histogram)]);
        let ends: Vec<&str> =
            text.lines().filter_map(|line| line.split_once("le=\"")?.1.split_once('"').map(|(end, _)| end)).collect();
        // What client-go's own metrics show.
        let expected = [
            "1e-08",
            "1e-07",
            "1e-06",
            "9.999999999999999e-06",
            "9.999999999999999e-05",
            "0.001",
            "0.01",
            "0.1",
            "1",
            "10",
            "+Inf",
        ];
        assert_eq!(ends, expected);
        assert!(text.contains("_bucket{name=\"job\",le=\"1e-06\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{name=\"job\",le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("_sum{name=\"job\"} 20.001501\n") && text.contains("_count{name=\"job\"} 3\n"), "{text}");
        assert_eq!(histogram.count(), 3);
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let table = [(0.0001, "0.0001"), (0.00001, "1e-05"), (1024.0, "1024"), (131_072.0, "131072"), (3e6, "3e+06")];
        for (value, expected) in table {
            assert_eq!(number(value), expected);
        }
    }
}
