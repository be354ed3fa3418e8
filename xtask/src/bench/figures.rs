//! Figures: a table for people, JSON for programs.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::processes::Spent;

#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub group: &'static str,
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    /// What this project wants to reach; empty without a wish.
    pub goal: &'static str,
    /// The same of kube-apiserver, etcd, kubelet and containerd v1.35, of another run on a machine of the same size (2 cores).
    pub upstream: &'static str,
    /// Part of the time in which some task of the machine waited for a CPU, in percent.
    pub pressure: f64,
}

#[derive(Debug, Serialize)]
pub struct Report {
    machine: String,
    figures: Vec<Figure>,
}

impl Report {
    pub fn new(machine: String) -> Self {
        Self { machine, figures: Vec::new() }
    }

    pub fn group(&mut self, group: &'static str) -> GroupOf<'_> {
        crate::say(format_args!("measuring: {group}"));
        GroupOf { report: self, group }
    }

    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub fn machine(&self) -> &str {
        &self.machine
    }

    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    pub fn print(&self) {
        crate::say(format_args!(
            "\n{}\nupstream: another run, on a machine of the same size (2 cores)\n",
            self.machine
        ));
        for line in self.lines() {
            crate::say(format_args!("{line}"));
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut group = "";
        for figure in &self.figures {
            if figure.group != group {
                group = figure.group;
                lines.push(format!(
                    "{group:<46} {:>10} {:<8} {:<10} {:<24} {:>8}",
                    "value", "unit", "goal", "upstream", "psi cpu"
                ));
            }
            let Figure { name, value, unit, goal, upstream, pressure, .. } = figure;
            let value = number(*value);
            lines.push(format!("  {name:<44} {value:>10} {unit:<8} {goal:<10} {upstream:<24} {pressure:>7.0}%"));
        }
        lines
    }
}

/// Three digits that matter.
pub fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

pub struct GroupOf<'a> {
    report: &'a mut Report,
    group: &'static str,
}

impl GroupOf<'_> {
    /// `reference` is the goal and upstream's figure.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        reference: (&'static str, &'static str),
        spent: Spent,
    ) {
        let (goal, upstream) = reference;
        let name = name.into();
        crate::say(format_args!("  {name}: {} {unit}", number(value)));
        let pressure = spent.pressure;
        self.report.figures.push(Figure { group: self.group, name, value, unit, goal, upstream, pressure });
    }
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// `part` is 0.0 to 1.0; nearest rank. Zero of nothing.
pub fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let cases = [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)];
        for (part, expected) in cases {
            assert_eq!(percentile(&values, part), Duration::from_millis(expected), "{part}");
        }
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (value, expected) in [(0.1234, "0.12"), (12.345, "12.3"), (12345.6, "12346")] {
            assert_eq!(number(value), expected);
        }
    }
}
