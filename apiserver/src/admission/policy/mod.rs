//! ValidatingAdmissionPolicy: what policies say about a request (`k8s.io/apiserver/pkg/admission/plugin/policy/validating`).
//!
//! [`Index`] knows the policies and what binds them, [`object`] is how they are read, `bound` says which are about a request, `params`
//! finds their parameters: all this is the same for mutating ones. [`evaluator`] computes. The step here asks one policy after the
//! other and refuses for the first that is against it.

mod bound;
pub mod evaluator;
mod index;
pub mod object;
mod params;
pub(crate) mod writers;

use std::sync::Arc;
use std::time::Duration;

use api::Object;
use api::status::{Cause, Reason, Status};
use cel::admission::Inputs;
use serde_json::{Value, json};
use tokio::time::Instant;

pub use self::bound::{Bound, Misconfigured, bound};
use self::evaluator::{Evaluator, Refusal, Request, Verdict};
pub use self::index::{Hook, Index};
use self::object::{Action, Binding, Policy};
use super::facts::Facts;
use super::matching::Form;
use super::{Admission, Attributes, Verdict as Step, questions};
use crate::authorizer::Authorizer;
use crate::metrics::Admissions;
use crate::registry::Registry;

pub struct ValidatingAdmissionPolicy {
    pub index: Arc<Index<Evaluator>>,
    pub registry: Arc<Registry>,
    pub authorizer: Arc<dyn Authorizer>,
    pub(crate) admissions: Arc<Admissions>,
}

impl Admission for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn sees_below(&self) -> bool {
        true
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Step<'a> {
        if is_exempt(cx) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(async move {
            match self.index.hooks().await {
                Some(hooks) if hooks.is_empty() => Ok(()),
                Some(hooks) => {
                    let round = Round { step: self, facts: &Facts::new(cx, object, &self.registry), refused: None };
                    round.run(&hooks).await
                }
                None => Err(Facts::new(cx, object, &self.registry).forbidden("not yet ready to handle request")),
            }
        })
    }
}

/// Policies are not about what a server writes for itself, and not about policies.
pub fn is_exempt(cx: &Attributes<'_>) -> bool {
    let info = cx.resource;
    cx.query.is_none() || info.group == super::GROUP && info.plural.contains("admissionpolic")
}

/// All policies on one request.
struct Round<'r> {
    step: &'r ValidatingAdmissionPolicy,
    facts: &'r Facts<'r>,
    /// The first refusal, in words.
    refused: Option<(String, Reason)>,
}

impl Round<'_> {
    async fn run(mut self, hooks: &[Hook<Evaluator>]) -> Result<(), Status> {
        for hook in hooks {
            self.policy(hook).await?;
        }
        let Some((message, reason)) = self.refused else { return Ok(()) };
        let mut status = self.facts.forbidden(&message);
        status.code = match reason {
            Reason::Forbidden => 403,
            Reason::Unauthorized => 401,
            Reason::RequestEntityTooLarge => 413,
            _ => 422,
        };
        status.reason = reason;
        Err(status.with_cause(Cause { message, ..Cause::default() }))
    }

    async fn policy(&mut self, hook: &Hook<Evaluator>) -> Result<(), Status> {
        let policy = &*hook.policy;
        for found in bound(hook, self.facts, &self.step.registry).await {
            match found {
                Ok(Bound { binding, form, params }) => self.binding(policy, binding, &form, &params).await?,
                Err(Misconfigured { binding, why }) => self.misconfigured(policy, binding, &why),
            }
        }
        Ok(())
    }

    async fn binding(
        &mut self,
        policy: &Policy<Evaluator>,
        binding: &Binding,
        form: &Form,
        params: &[Option<Object>],
    ) -> Result<(), Status> {
        let namespace = self.facts.shown_namespace().await?;
        let facts = self.facts;
        let (object, old_object) = match facts.shown_both(form).await {
            Ok(shown) => shown,
            Err(status) => {
                self.misconfigured(policy, Some(binding), &format!("failed to convert object version: {status}"));
                return Ok(());
            }
        };
        let authorizer = questions::variables(&self.step.authorizer, self.facts);
        let (request, of_conditions) = (self.facts.request(form, form), self.facts.request(&Form::Own, form));
        for param in params {
            let inputs = Inputs {
                object: &object,
                old_object: &old_object,
                params: param.as_ref().unwrap_or(&Value::Null),
                request: &request,
                namespace: &namespace,
                authorizer: Some(&authorizer),
            };
            let of_conditions = Inputs { request: &of_conditions, namespace: &Value::Null, ..inputs };
            let began = Instant::now();
            let verdict = policy.evaluator().evaluate(&Request { inputs, of_conditions }, policy.fails);
            self.act(policy, binding, verdict, began.elapsed());
        }
        Ok(())
    }

    fn act(&mut self, policy: &Policy<Evaluator>, binding: &Binding, verdict: Verdict, took: Duration) {
        let step = self.step;
        let count = |refusal: &Refusal, action: &str| {
            step.admissions.checked(&policy.name, &binding.name, refusal.error_type(), action, took);
        };
        for refusal in &verdict.refusals {
            for action in &binding.actions {
                count(refusal, action.counted());
                match action {
                    Action::Deny => self.refuse(policy, Some(binding), refusal),
                    Action::Warn => self.facts.cx.warnings.add(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name, binding.name, refusal.message
                    )),
                    Action::Audit => self.tell(policy, binding, refusal),
                }
            }
        }
        for error in &verdict.errors {
            count(error, Action::Deny.counted());
            self.refuse(policy, Some(binding), error);
        }
        if let Some(record) = self.facts.cx.warnings.record() {
            for (key, value) in verdict.annotations {
                record.annotate_also(format!("{}/{key}", policy.name), &value);
            }
        }
    }

    /// The audit log of a validation that failed, as a list of one (upstream).
    fn tell(&self, policy: &Policy<Evaluator>, binding: &Binding, refusal: &Refusal) {
        if let Some(record) = self.facts.cx.warnings.record() {
            let actions: Vec<String> = binding.actions.iter().map(|action| format!("{action:?}")).collect();
            let failure = json!([{"message": refusal.message, "policy": policy.name, "binding": binding.name,
                "expressionIndex": refusal.index, "validationActions": actions}]);
            record.annotate("validation.policy.admission.k8s.io/validation_failure", failure.to_string());
        }
    }

    fn misconfigured(&mut self, policy: &Policy<Evaluator>, binding: Option<&Binding>, why: &str) {
        if policy.fails {
            let what = if binding.is_some() { "binding" } else { "policy" };
            let message = format!("failed to configure {what}: {why}");
            self.refuse(policy, binding, &Refusal { index: 0, message, reason: Reason::Invalid });
        }
    }

    fn refuse(&mut self, policy: &Policy<Evaluator>, binding: Option<&Binding>, refusal: &Refusal) {
        let with = binding.map(|binding| format!(" with binding '{}'", binding.name)).unwrap_or_default();
        let message = format!("ValidatingAdmissionPolicy '{}'{with} denied request: {}", policy.name, refusal.message);
        self.refused.get_or_insert((message, refusal.reason));
    }
}
