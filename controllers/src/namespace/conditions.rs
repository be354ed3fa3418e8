//! What a namespace tells about its deletion. Types, reasons and messages are upstream's: scripts read them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::Error;

/// What a cycle came upon.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub discovery_failure: Option<String>,
    pub contents: Vec<Content>,
    /// One per resource that could not be deleted.
    pub failures: Vec<String>,
}

/// A resource of which there were objects.
#[derive(Debug)]
pub(super) struct Content {
    /// `resource.group`.
    pub resource: String,
    /// How many are still there after the deletion.
    pub left: usize,
    /// One entry per object that has it.
    pub finalizers: Vec<String>,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// Nothing can be done but wait for those who keep the objects.
    pub fn only_waits(&self) -> bool {
        self.contents.iter().any(|content| content.left > 0)
    }

    pub fn failure(&self) -> Option<Error> {
        let mut failures = self.failures.clone();
        failures.extend(self.discovery_failure.clone());
        (!failures.is_empty()).then(|| Error::Incomplete(failures.join("; ")))
    }
}

pub(super) fn status(old: &NamespaceStatus, found: &Found, now: Timestamp) -> NamespaceStatus {
    let mut status = old.clone();
    status.phase = Some("Terminating".to_owned());
    let conditions = status.conditions.get_or_insert_default();
    for (type_, good, bad) in judgements(found) {
        let (status, (reason, message)) = match bad {
            Some(bad) => ("True", bad),
            None => ("False", (good.0, good.1.to_owned())),
        };
        let known = conditions.iter_mut().find(|condition| condition.type_ == type_);
        match known {
            Some(condition) => {
                if condition.status != status {
                    condition.last_transition_time = Some(Time(now));
                }
                condition.status = status.to_owned();
                condition.reason = Some(reason.to_owned());
                condition.message = Some(message);
            }
            None => conditions.push(NamespaceCondition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_transition_time: Some(Time(now)),
            }),
        }
    }
    status
}

/// The type of a condition, its reason and message when all is well, and those when it is not.
type Judgement = (&'static str, (&'static str, &'static str), Option<(&'static str, String)>);

fn judgements(found: &Found) -> [Judgement; 5] {
    let mut failures = found.failures.clone();
    failures.sort();
    let failed = (!failures.is_empty()).then(|| {
        let list = failures.join(", ");
        ("ContentDeletionFailed", format!("Failed to delete all resource types, {} remaining: {list}", failures.len()))
    });
    let mut left: Vec<String> = found.contents.iter().filter(|content| content.left > 0).map(remaining).collect();
    left.sort();
    let remain = (!left.is_empty())
        .then(|| ("SomeResourcesRemain", format!("Some resources are remaining: {}", left.join(", "))));
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            ("ResourcesDiscovered", "All resources successfully discovered"),
            found.discovery_failure.clone().map(|failure| ("DiscoveryFailed", failure)),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            None,
        ),
        (
            "NamespaceDeletionContentFailure",
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            failed,
        ),
        ("NamespaceContentRemaining", ("ContentRemoved", "All content successfully removed"), remain),
        (
            "NamespaceFinalizersRemaining",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            finalizers(found),
        ),
    ]
}

fn remaining(content: &Content) -> String {
    format!("{} has {} resource instances", content.resource, content.left)
}

fn finalizers(found: &Found) -> Option<(&'static str, String)> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for finalizer in found.contents.iter().flat_map(|content| &content.finalizers) {
        *counts.entry(finalizer).or_default() += 1;
    }
    let list: Vec<String> =
        counts.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances")).collect();
    let text = format!("Some content in the namespace has finalizers remaining: {}", list.join(", "));
    (!list.is_empty()).then_some(("SomeFinalizersRemain", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{ago, now};

    #[test]
    fn conditions_say_what_is_left() {
        let left = |resource: &str, left: usize, finalizers: &[&str]| Content {
            resource: resource.to_owned(),
            left,
            finalizers: finalizers.iter().map(|name| (*name).to_owned()).collect(),
        };
        let found = Found {
            discovery_failure: None,
            contents: vec![left("pods.", 2, &[]), left("widgets.example.com", 1, &["a/b"]), left("secrets.", 0, &[])],
            failures: vec!["delete x: no".to_owned()],
        };
        let told = status(&NamespaceStatus::default(), &found, now());
        let message = |type_: &str| {
            let condition = told.conditions.iter().flatten().find(|each| each.type_ == type_).expect("the condition");
            format!("{} {}", condition.status, condition.message.as_deref().unwrap_or(""))
        };
        let expected = [
            ("NamespaceDeletionDiscoveryFailure", "False All resources successfully discovered"),
            (
                "NamespaceContentRemaining",
                "True Some resources are remaining: pods. has 2 resource instances, widgets.example.com has 1 resource instances",
            ),
            (
                "NamespaceFinalizersRemaining",
                "True Some content in the namespace has finalizers remaining: a/b in 1 resource instances",
            ),
            ("NamespaceDeletionContentFailure", "True Failed to delete all resource types, 1 remaining: delete x: no"),
        ];
        for (type_, text) in expected {
            assert_eq!(message(type_), text);
        }
    }

    #[test]
    fn the_same_news_is_no_news() {
        let first = status(&NamespaceStatus::default(), &Found::default(), ago(10));
        assert_eq!(status(&first, &Found::default(), now()), first);
    }
}
