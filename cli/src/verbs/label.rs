//! `label`: sets and removes labels.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::marks::{Changes, Family, Marks};
use crate::session::{Connection, Session};

#[derive(Debug, clap::Args)]
pub struct Label {
    #[command(flatten)]
    marks: Marks,
}

const LABELS: Family = Family { field: "labels", noun: "label", parse, refuse, outcome };

impl Label {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        self.marks.run(&session, &LABELS).await?;
        Ok(ExitCode::SUCCESS)
    }
}

fn parse(words: &[String]) -> Result<Changes> {
    let mut changes = Changes::default();
    for word in words {
        let parts: Vec<&str> = word.split('=').collect();
        match (parts.as_slice(), word.strip_suffix('-')) {
            ([_], Some(key)) => changes.remove.push(key.to_owned()),
            ([key, value], _) => {
                let problems = api::names::label_value(value);
                if !problems.is_empty() {
                    bail!("invalid label value: {word:?}: {}", problems.join(";"));
                }
                changes.set.push(((*key).to_owned(), (*value).to_owned()));
            }
            ([_], None) => bail!("unknown label spec: {word}"),
            _ => bail!("invalid label spec: {word}"),
        }
    }
    if changes.remove.iter().any(|key| changes.set.iter().any(|(set, _)| set == key)) {
        bail!("can not both modify and remove a label in the same command");
    }
    Ok(changes)
}

fn refuse(taken: &[String]) -> String {
    let each: Vec<String> = taken.iter().map(|one| format!("{one}, and --overwrite is false")).collect();
    match each.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn outcome(before: &str, after: &str, overwrite: bool) -> &'static str {
    match before == after {
        true => "not labeled",
        false if !overwrite && after.len() < before.len() => "unlabeled",
        false => "labeled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read() {
        let parse = |word: &str| parse(&[word.to_owned(), "z-".to_owned()]).map_err(|error| error.to_string());
        let set =
            |key: &str, value: &str| Ok(Changes { set: vec![(key.into(), value.into())], remove: vec!["z".into()] });
        assert_eq!(parse("a=1"), set("a", "1"));
        assert_eq!(parse("a="), set("a", ""));
        assert_eq!(parse("a=b=c"), Err("invalid label spec: a=b=c".to_owned()));
        assert_eq!(parse("z=1"), Err("can not both modify and remove a label in the same command".to_owned()));
        assert!(parse("a=_").unwrap_err().starts_with("invalid label value: \"a=_\": "));
        assert_eq!(outcome("{\"a\":1}", "{}", false), "unlabeled");
    }
}
