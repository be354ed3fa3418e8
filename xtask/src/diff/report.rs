//! What a run found, by cause.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::causes::{Cause, Causes, Key};

/// Differences that are right to keep: `- CLASS PLACE WHAT`, each a piece of the line that the report prints, with its reason below.
const ACCEPTED: &str = include_str!("../../../e2e/upstream/accepted.md");

/// Of a body, in the report.
const BODY: usize = 700;

pub fn print(causes: &Causes, output: Option<&Path>) -> Result<()> {
    let (accepted, open): (Vec<_>, Vec<_>) =
        causes.sorted().into_iter().partition(|(key, _)| is_accepted(key, &accepted_lines()));
    let mut text = String::new();
    for (key, cause) in &open {
        tell(&mut text, key, cause)?;
    }
    let count = |causes: &[(&Key, &Cause)]| causes.iter().map(|(_, cause)| cause.count).sum::<usize>();
    writeln!(text, "\n{} causes, {} differences; by class:", open.len(), count(&open))?;
    let mut classes: Vec<_> = open.iter().map(|(key, _)| key.class).collect();
    classes.dedup();
    for class in classes {
        let of_class: Vec<_> = open.iter().filter(|(key, _)| key.class == class).copied().collect();
        writeln!(text, "  {class:?}: {} causes, {} differences", of_class.len(), count(&of_class))?;
    }
    writeln!(text, "accepted (e2e/upstream/accepted.md): {} causes, {} differences", accepted.len(), count(&accepted))?;
    match output {
        Some(path) => {
            std::fs::write(path, &text).with_context(|| format!("write {}", path.display()))?;
            let summary = text.lines().skip_while(|line| !line.contains("; by class:"));
            summary.for_each(|line| crate::say(format_args!("{line}")));
        }
        None => crate::say(format_args!("{text}")),
    }
    Ok(())
}

/// The causes that nobody accepted.
pub fn open(causes: &Causes) -> Vec<&Key> {
    let accepted = accepted_lines();
    causes.by_key.keys().filter(|key| !is_accepted(key, &accepted)).collect()
}

/// The worst of them whose line, as it is printed, has that text.
pub fn wanted<'c>(causes: &'c Causes, text: &str) -> Option<(&'c Key, &'c Cause)> {
    let accepted = accepted_lines();
    causes.sorted().into_iter().find(|(key, _)| line(key).contains(text) && !is_accepted(key, &accepted))
}

/// How the report says a cause that nobody accepted.
pub fn open_line(key: &Key) -> Option<String> {
    (!is_accepted(key, &accepted_lines())).then(|| line(key))
}

fn line(key: &Key) -> String {
    format!("{:?} {}: {}", key.class, key.place, key.what)
}

fn tell(text: &mut String, key: &Key, cause: &Cause) -> Result<()> {
    let resources: Vec<_> = cause.resources.iter().map(String::as_str).collect();
    let example = &cause.example;
    let body: String = example.wire.body.chars().take(BODY).collect();
    writeln!(text, "{:4}x {}", cause.count, line(key))?;
    writeln!(text, "      of {}", resources.join(" "))?;
    writeln!(text, "      {}: {}", example.scenario.name, example.detail)?;
    let headers = example.wire.headers.iter().filter(|(name, value)| name != "accept" || value != "application/json");
    let headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value}")).collect();
    writeln!(text, "      {} {} [{}] {body}", example.wire.method, example.wire.target, headers.join("; "))?;
    Ok(())
}

/// Each is words that must be in a line in this order.
fn accepted_lines() -> Vec<Vec<&'static str>> {
    let lines = ACCEPTED.lines().filter_map(|line| line.strip_prefix("- `")?.split('`').next());
    lines.map(|line| line.split("..").map(str::trim).collect()).collect()
}

fn is_accepted(key: &Key, accepted: &[Vec<&str>]) -> bool {
    let line = line(key);
    accepted.iter().any(|pieces| {
        let mut rest = line.as_str();
        pieces.iter().all(|piece| match rest.find(piece) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::compare::Class;
    use super::*;

    #[test]
    fn accepted_is_what_has_all_pieces_in_order() {
        let key = Key { class: Class::Body, place: "spec.a".into(), what: "missing: {}".into() };
        let cases = [
            (vec!["Body spec.a: missing"], true),
            (vec!["Body", "missing"], true),
            (vec!["missing", "Body"], false),
            (vec!["Code"], false),
        ];
        for (pieces, expected) in cases {
            assert_eq!(is_accepted(&key, std::slice::from_ref(&pieces)), expected, "{pieces:?}");
        }
    }
}
