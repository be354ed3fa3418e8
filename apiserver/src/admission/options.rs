//! The options of a request as admission is told of them: `CreateOptions`, `UpdateOptions`, `DeleteOptions`.

use serde_json::{Value, json};

use super::{Attributes, Operation};
use crate::options::{DeleteOptions, Propagation};
use crate::query::Query;

impl Attributes<'_> {
    /// Null where there are none.
    pub fn options(&self) -> Value {
        match (self.operation, self.query, self.deletion) {
            (Operation::Create, Some(query), _) => of_write("CreateOptions", query),
            (Operation::Update, Some(query), _) => of_write("UpdateOptions", query),
            (Operation::Delete, _, Some(options)) => of_deletion(options),
            _ => Value::Null,
        }
    }
}

fn of_write(kind: &str, query: &Query) -> Value {
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    let dry_run: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
    if !dry_run.is_empty() {
        options["dryRun"] = dry_run.into();
    }
    for key in ["fieldManager", "fieldValidation"] {
        if let Some(value) = query.get(key).filter(|value| !value.is_empty()) {
            options[key] = value.into();
        }
    }
    options
}

fn of_deletion(options: &DeleteOptions) -> Value {
    let mut shown = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
    if options.dry_run {
        shown["dryRun"] = json!(["All"]);
    }
    if let Some(seconds) = options.grace_period_seconds {
        shown["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(orphan) = options.orphan_dependents {
        shown["orphanDependents"] = orphan.into();
    }
    if let Some(propagation) = options.propagation {
        shown["propagationPolicy"] = match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        }
        .into();
    }
    for (key, value) in [("uid", &options.uid), ("resourceVersion", &options.resource_version)] {
        if let Some(value) = value {
            shown["preconditions"][key] = value.as_str().into();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_as_they_were_sent() {
        let query = Query::parse("dryRun=All&fieldManager=me&pretty=true");
        let expected =
            json!({"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me"});
        assert_eq!(of_write("UpdateOptions", &query), expected);
        let options = DeleteOptions {
            propagation: Some(Propagation::Orphan),
            uid: Some("u".to_owned()),
            grace_period_seconds: Some(0),
            ..DeleteOptions::default()
        };
        let expected = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 0,
            "propagationPolicy": "Orphan", "preconditions": {"uid": "u"}});
        assert_eq!(of_deletion(&options), expected);
    }
}
