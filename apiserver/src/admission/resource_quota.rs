//! ResourceQuota: a write that would use more of its namespace than a quota allows is refused; others are charged.
//!
//! The charge comes before the object is stored, so that two writes at once cannot share what is left. What is not stored after
//! all, or goes again, the controller counts back.

use api::Object;
use api::meta::Meta;
use api::quota::{Measure, Write, charge, to_json};
use api::status::{Reason, Status};

use super::{Admission, Attributes, Operation, Verdict};

#[derive(Debug)]
pub struct ResourceQuota;

impl Admission for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        Box::pin(async move {
            let Some(new) = object.filter(|_| !cx.namespace.is_empty() && !is_ignored(cx)) else { return Ok(()) };
            let old = match cx.operation {
                Operation::Create => None,
                Operation::Update => cx.old,
                Operation::Delete | Operation::Connect => return Ok(()),
            };
            let write = Write { new, old, subresource: cx.subresource };
            let measure = Measure::of(&cx.resource.group, &cx.resource.plural);
            match measure.concerns(write) {
                true => enforce(cx, measure, write).await,
                false => Ok(()),
            }
        })
    }
}

/// Nobody counts reviews, which are not stored, and events.
fn is_ignored(cx: &Attributes<'_>) -> bool {
    matches!(cx.resource.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
        || matches!(cx.resource.plural.as_str(), "events" | "bindings")
}

/// All quotas must agree before the first is charged.
async fn enforce(cx: &Attributes<'_>, measure: Measure<'_>, write: Write<'_>) -> Result<(), Status> {
    let charged = |quota: &Object| charge(quota, measure, write, cx.now).map_err(|why| cx.forbidden(write.new, &why));
    let mut concerned = Vec::new();
    for quota in cx.reader.list("", "resourcequotas", cx.namespace).await? {
        if charged(&quota)?.is_some() {
            concerned.push(quota);
        }
    }
    for quota in concerned.iter().filter(|_| !cx.dry_run) {
        let change = |newest: &Object| {
            let mut quota = newest.clone();
            if let Some(used) = charged(newest)? {
                quota["status"]["used"] = to_json(&used);
            }
            Ok(quota)
        };
        match cx.statuses.update_status("", "resourcequotas", quota.name(), &change).await {
            // The quota went in the meantime.
            Err(status) if status.reason == Reason::NotFound => {}
            outcome => outcome?,
        }
    }
    Ok(())
}
