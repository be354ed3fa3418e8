//! ValidatingAdmissionWebhook: all webhooks that want the request, at once.

use std::sync::Arc;

use api::Object;
use api::status::Status;
use futures::future::join_all;

use super::annotations::Place;
use super::{Index, ask, is_exempt, judge, wants};
use crate::admission::facts::Facts;
use crate::admission::{Admission, Attributes, Surroundings, Verdict};
use crate::metrics::Phase;

pub struct ValidatingAdmissionWebhook {
    pub index: Arc<Index>,
    pub surroundings: Surroundings,
}

impl Admission for ValidatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn sees_below(&self) -> bool {
        true
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        if is_exempt(cx) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(self.ask_all(cx, object))
    }
}

impl ValidatingAdmissionWebhook {
    async fn ask_all(&self, cx: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let facts = Facts::new(cx, object, &self.surroundings.registry);
        let Some(hooks) = self.index.hooks().await else {
            return Err(facts.forbidden("not yet ready to handle request"));
        };
        let mut relevant = Vec::new();
        for (index, hook) in hooks.iter().enumerate() {
            if let Some(form) = wants(hook, &facts, &self.surroundings).await? {
                relevant.push((index, hook, form));
            }
        }
        let asked = relevant.iter().map(|(_, hook, form)| ask(hook, &facts, form, &self.surroundings, Phase::Validate));
        let answers = join_all(asked).await;
        let mut judged = relevant.iter().zip(answers).map(|((index, hook, _), answer)| match answer {
            Ok(_) => Ok(()),
            Err(failure) => {
                let place = Place { record: cx.warnings.record(), hook, second_round: false, index: *index };
                judge(place, Phase::Validate, failure)
            }
        });
        judged.find(Result::is_err).unwrap_or(Ok(()))
    }
}
