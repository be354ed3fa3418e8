//! MutatingAdmissionWebhook: one webhook after the other, each sees what those before it made. When one changes the object, admission goes
//! over it a second time, and those who want it are asked again.

use std::sync::Arc;

use api::Object;
use api::status::Status;
use serde_json::Value;

use super::annotations::Place;
use super::review::Answer;
use super::{Index, ask, is_exempt, judge, wants};
use crate::admission::facts::Facts;
use crate::admission::matching::Form;
use crate::admission::{Admission, Attributes, Operation, Surroundings, Verdict};
use crate::metrics::Phase;

pub struct MutatingAdmissionWebhook {
    pub index: Arc<Index>,
    pub surroundings: Surroundings,
}

impl Admission for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    fn sees_below(&self) -> bool {
        true
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, object: &'a mut Object) -> Verdict<'a> {
        if is_exempt(cx) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(self.round(cx, Some(object)))
    }

    /// Deletions have nothing to change, but may be refused.
    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, _object: Option<&'a Object>) -> Verdict<'a> {
        if is_exempt(cx) || cx.operation != Operation::Delete {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(self.round(cx, None))
    }
}

impl MutatingAdmissionWebhook {
    async fn round(&self, cx: &Attributes<'_>, mut object: Option<&mut Object>) -> Result<(), Status> {
        let registry = &self.surroundings.registry;
        let Some(hooks) = self.index.hooks().await else {
            return Err(Facts::new(cx, object.as_deref(), registry).forbidden("not yet ready to handle request"));
        };
        if hooks.is_empty() {
            return Ok(());
        }
        let (is_second, asked) = (cx.rounds.is_second(), &cx.rounds.webhooks);
        if is_second {
            asked.compare(object.as_deref());
        }
        for (index, hook) in hooks.iter().enumerate() {
            let facts = Facts::new(cx, object.as_deref(), registry);
            let Some(form) = wants(hook, &facts, &self.surroundings).await? else { continue };
            if is_second && !asked.is_due(&hook.id) {
                continue;
            }
            let place = Place { record: cx.warnings.record(), hook, second_round: is_second, index };
            let outcome = match ask(hook, &facts, &form, &self.surroundings, Phase::Admit).await {
                Ok(answer) => made(place, &facts, &form, answer).await,
                Err(failure) => judge(place, Phase::Admit, failure).map(|()| None),
            };
            drop(facts);
            let changed = match &outcome {
                Ok(Some(new)) => object.as_deref().is_some_and(|object| object != new),
                _ => false,
            };
            place.mutated(changed);
            if let (Some(new), Some(object)) = (outcome?, object.as_deref_mut()) {
                *object = new;
            }
            if changed {
                asked.changed();
                cx.rounds.want_second();
            }
            if hook.asked_again {
                asked.saw(&hook.id);
            }
        }
        asked.ended(object.as_deref());
        Ok(())
    }
}

/// The object that the answer's patch makes; `None` without one.
async fn made(place: Place<'_>, facts: &Facts<'_>, form: &Form, answer: Answer) -> Result<Option<Object>, Status> {
    let Some(patch) = answer.patch.filter(|patch| !patch.is_empty()) else { return Ok(None) };
    let mut object: Value = facts.shown_object(form).await?.into_owned();
    if object.is_null() {
        let why = format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            place.hook.name
        );
        return Err(Status::internal(why));
    }
    patch.apply(&mut object).map_err(Status::internal)?;
    if let Some(error) = facts.conform(&mut object, form).error {
        return Err(Status::internal(error));
    }
    let made = facts.taken_back(object, form).await?;
    place.patched(&answer.operations);
    Ok(Some(made))
}
