//! MutatingAdmissionWebhook: one webhook after the other, each sees what those before it made. When one changes the object, admission goes
//! over it a second time, and those who want it are asked again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use api::Object;
use api::status::Status;
use serde_json::Value;

use super::object::Webhook;
use super::review::Answer;
use super::{Index, ask, is_exempt, judge, wants};
use crate::admission::facts::Facts;
use crate::admission::matching::Form;
use crate::admission::{Admission, Attributes, Operation, Surroundings, Verdict};
use crate::decode;

/// What is known of the rounds over one object.
#[derive(Debug, Default)]
pub struct Rounds(Mutex<Round>);

#[derive(Debug, Default)]
struct Round {
    is_second: bool,
    wants_second: bool,
    /// What webhooks made in the first round.
    made: Option<Object>,
    /// Webhooks that may be asked again, and have not been since.
    seen: BTreeSet<String>,
    /// Webhooks that are to be asked again.
    again: BTreeSet<String>,
}

impl Rounds {
    fn change<R>(&self, change: impl FnOnce(&mut Round) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether all steps are to go over the object once more; from now on they do.
    pub fn begin_second(&self) -> bool {
        self.change(|round| {
            round.is_second = round.wants_second;
            std::mem::take(&mut round.wants_second)
        })
    }
}

impl Round {
    /// The object is another one than those have seen that may be asked again.
    fn ask_seen_again(&mut self) {
        self.again.append(&mut self.seen);
    }
}

pub struct MutatingAdmissionWebhook {
    pub index: Arc<Index>,
    pub surroundings: Surroundings,
}

impl Admission for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, object: &'a mut Object) -> Verdict<'a> {
        if is_exempt(cx) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(self.round(cx, Some(object)))
    }

    /// Deletions and connections have nothing to change, but may be refused.
    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, _object: Option<&'a Object>) -> Verdict<'a> {
        if is_exempt(cx) || matches!(cx.operation, Operation::Create | Operation::Update) {
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
        let is_second = cx.rounds.change(|round| {
            if round.is_second && round.made.as_ref() != object.as_deref() {
                round.ask_seen_again();
            }
            round.is_second
        });
        for hook in &*hooks {
            let facts = Facts::new(cx, object.as_deref(), registry);
            let Some(form) = wants(hook, &facts, &self.surroundings).await? else { continue };
            if is_second && !cx.rounds.change(|round| round.again.contains(&hook.id)) {
                continue;
            }
            let asked = ask(hook, &facts, &form, &self.surroundings, true).await;
            let changed = match asked {
                Ok(answer) => match made(hook, &facts, &form, answer).await? {
                    Some(new) => object.as_deref_mut().is_some_and(|object| std::mem::replace(object, new) != *object),
                    None => false,
                },
                Err(failure) => {
                    judge(hook, failure)?;
                    false
                }
            };
            cx.rounds.change(|round| {
                if changed {
                    round.ask_seen_again();
                    round.wants_second = !round.is_second;
                }
                if hook.asked_again {
                    round.seen.insert(hook.id.clone());
                }
            });
        }
        cx.rounds.change(|round| round.made = object.as_deref().cloned());
        Ok(())
    }
}

/// The object that the answer's patch makes; `None` without one.
async fn made(hook: &Webhook, facts: &Facts<'_>, form: &Form, answer: Answer) -> Result<Option<Object>, Status> {
    let Some(patch) = answer.patch.filter(|patch| !patch.is_empty()) else { return Ok(None) };
    let mut object: Value = facts.shown_object(form).await?.into_owned();
    if object.is_null() || facts.cx.operation == Operation::Connect {
        let why = format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        );
        return Err(Status::internal(why));
    }
    patch.apply(&mut object).map_err(Status::internal)?;
    let row = form.row(facts.cx.row);
    let ty = row.types().map(|(_, ty)| ty).filter(|_| row.custom.is_none());
    if let Some(conformed) = decode::conform(row.custom.as_deref(), ty, &mut object)
        && let Some(error) = conformed.error
    {
        return Err(Status::internal(error));
    }
    facts.taken_back(object, form).await.map(Some)
}
