//! `annotate`: sets and removes annotations.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::marks::{Changes, Family, Marks};
use crate::session::{Connection, Session};

#[derive(Debug, clap::Args)]
pub struct Annotate {
    #[command(flatten)]
    marks: Marks,
}

const ANNOTATIONS: Family = Family {
    field: "annotations",
    noun: "annotation",
    parse,
    refuse: |taken| {
        format!("--overwrite is false but found the following declared annotation(s): {}", taken.join("; "))
    },
    outcome: |_, _, _| "annotated",
};

impl Annotate {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        self.marks.run(&session, &ANNOTATIONS).await?;
        Ok(ExitCode::SUCCESS)
    }
}

fn parse(words: &[String]) -> Result<Changes> {
    let mut changes = Changes::default();
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) if !key.is_empty() => changes.set.push((key.to_owned(), value.to_owned())),
            (None, Some(key)) => changes.remove.push(key.to_owned()),
            _ => bail!("invalid annotation format: {word}"),
        }
    }
    let both: Vec<&str> = changes
        .remove
        .iter()
        .filter(|key| changes.set.iter().any(|(set, _)| set == *key))
        .map(String::as_str)
        .collect();
    if !both.is_empty() {
        bail!("can not both modify and remove the following annotation(s) in the same command: {}", both.join(", "));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read() {
        let parse = |word: &str| parse(&[word.to_owned(), "z-".to_owned()]).map_err(|error| error.to_string());
        let value = |value: &str| Ok(Changes { set: vec![("a".into(), value.into())], remove: vec!["z".into()] });
        assert_eq!(parse("a=b=c d-"), value("b=c d-"));
        assert_eq!(parse("=x"), Err("invalid annotation format: =x".to_owned()));
        let both = "can not both modify and remove the following annotation(s) in the same command: z";
        assert_eq!(parse("z=1"), Err(both.to_owned()));
    }
}
