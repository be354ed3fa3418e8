//! NamespaceLifecycle: objects are made in namespaces that exist and are not on their way out; some namespaces stay.

use std::borrow::Cow;

use api::Object;
use api::status::{Cause, Qualified, Status};
use serde::Deserialize;

use super::{Admission, Attributes, Operation, Verdict};

/// A phase of namespaces.
const TERMINATING: &str = "Terminating";

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// What is read of a Namespace at each create in it.
#[derive(Deserialize)]
struct Phased<'a> {
    #[serde(borrow, default)]
    status: NamespaceStatus<'a>,
}

#[derive(Default, Deserialize)]
struct NamespaceStatus<'a> {
    #[serde(borrow)]
    phase: Option<Cow<'a, str>>,
}

#[derive(Debug)]
pub struct NamespaceLifecycle;

impl Admission for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn sees_below(&self) -> bool {
        true
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, _object: &'a mut Object) -> Verdict<'a> {
        Box::pin(check(cx))
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, _object: Option<&'a Object>) -> Verdict<'a> {
        // Creates were checked in `mutate`.
        Box::pin(async move { if cx.operation == Operation::Delete { check(cx).await } else { Ok(()) } })
    }
}

async fn check(cx: &Attributes<'_>) -> Result<(), Status> {
    let resource = Qualified::new(&cx.resource.group, &cx.resource.plural);
    if cx.resource.group.is_empty() && cx.resource.plural == "namespaces" {
        let immortal = cx.operation == Operation::Delete && IMMORTAL.contains(&cx.name);
        let refused = || Status::forbidden(resource, cx.name, "this namespace may not be deleted");
        return if immortal { Err(refused()) } else { Ok(()) };
    }
    // Anything that exists has a namespace that does.
    if cx.namespace.is_empty() || cx.operation != Operation::Create {
        return Ok(());
    }
    let namespace = cx.reader.text("", "namespaces", "", cx.namespace).await?;
    let Some(namespace) = namespace else {
        return Err(Status::not_found(Qualified::new("", "namespaces"), cx.namespace));
    };
    // Each create asks, and hardly any namespace says this word anywhere.
    if std::str::from_utf8(&namespace).is_ok_and(|text| !text.contains(TERMINATING)) {
        return Ok(());
    }
    let namespace: Phased = serde_json::from_slice(&namespace).map_err(Status::internal)?;
    if namespace.status.phase.is_none_or(|phase| phase != TERMINATING) {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {} because it is being terminated", cx.namespace);
    Err(Status::forbidden(resource, cx.name, &why).with_cause(Cause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {} is being terminated", cx.namespace),
        field: "metadata.namespace".into(),
    }))
}
