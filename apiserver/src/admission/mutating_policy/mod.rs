//! MutatingAdmissionPolicy: what policies change of a request (`k8s.io/apiserver/pkg/admission/plugin/policy/mutating`).
//!
//! Policies, bindings and parameters are found as those of validating policies are ([`super::policy`]). [`mutations`] are the compiled
//! expressions, `apply` merges what one of them says that an object should have. The step here makes one mutation after the other; each
//! sees what those before it made.

mod apply;
mod mutations;

use std::sync::Arc;

use api::Object;
use api::meta::Meta;
use api::patch::json::Patch as JsonPatch;
use api::status::{Cause, Reason, Status};
use cel::admission::Inputs;
use serde_json::Value;

pub use self::mutations::{Made, Mutations};
use self::mutations::{Mutation, Patch};
use super::facts::Facts;
use super::matching::Form;
use super::policy::object::{Binding, Policy};
use super::policy::{Bound, Hook, Index, Misconfigured, bound, is_exempt};
use super::{Admission, Attributes, Verdict, conditions, questions};
use crate::authorizer::Authorizer;
use crate::decode::Conformed;
use crate::registry::Registry;

pub struct MutatingAdmissionPolicy {
    pub index: Arc<Index<Mutations>>,
    pub registry: Arc<Registry>,
    pub authorizer: Arc<dyn Authorizer>,
}

impl Admission for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
    }

    fn sees_below(&self) -> bool {
        true
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, object: &'a mut Object) -> Verdict<'a> {
        if is_exempt(cx) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(async move {
            let Some(hooks) = self.index.hooks().await else {
                return Err(Facts::new(cx, Some(object), &self.registry).forbidden("not yet ready to handle request"));
            };
            if hooks.is_empty() {
                return Ok(());
            }
            let asked = &cx.rounds.policies;
            if cx.rounds.is_second() {
                asked.compare(Some(object));
            }
            let outcome = Dispatch { step: self, cx, refusals: Vec::new(), applied: false }.run(&hooks, object).await;
            asked.ended(Some(object));
            outcome
        })
    }
}

/// All policies on one request.
struct Dispatch<'d> {
    step: &'d MutatingAdmissionPolicy,
    cx: &'d Attributes<'d>,
    refusals: Vec<Refusal>,
    /// A mutation was made, whether it changed anything or not.
    applied: bool,
}

struct Refusal {
    message: String,
    reason: Reason,
}

/// A policy with one binding and one of its parameters.
#[derive(Clone, Copy)]
struct Invocation<'i> {
    policy: &'i Policy<Mutations>,
    binding: &'i Binding,
    form: &'i Form,
    param: Option<&'i Object>,
}

/// Why a mutation is not made.
enum Failed {
    /// The request is refused whatever the policy says.
    Finally(Status),
    /// For `failurePolicy` to decide.
    Policy(String),
}

impl Invocation<'_> {
    /// Tells it from all others.
    fn id(&self) -> String {
        let param = self.param.map(|param| format!("{}/{}", param.namespace(), param.name())).unwrap_or_default();
        format!("{} {} {param}", self.policy.name, self.binding.name)
    }
}

impl Dispatch<'_> {
    async fn run(mut self, hooks: &[Hook<Mutations>], object: &mut Object) -> Result<(), Status> {
        // Whom a request is about is found out before anybody changes it.
        let original = object.clone();
        let facts = Facts::new(self.cx, Some(&original), &self.step.registry);
        let mut found: Vec<(&Policy<Mutations>, Bound<'_>)> = Vec::new();
        for hook in hooks {
            for bound in bound(hook, &facts, &self.step.registry).await {
                match bound {
                    Ok(bound) => found.push((&hook.policy, bound)),
                    Err(Misconfigured { binding, why }) => {
                        let what = if binding.is_some() { "binding" } else { "policy" };
                        let why = format!("failed to configure {what}: {why}");
                        self.refuse(&hook.policy, binding, why, Reason::Forbidden);
                    }
                }
            }
        }
        if !found.is_empty() {
            let namespace = facts.shown_namespace().await?;
            for (policy, Bound { binding, form, params }) in &found {
                for param in params {
                    let invocation = Invocation { policy, binding, form, param: param.as_ref() };
                    self.invoke(invocation, &namespace, object).await?;
                }
            }
        }
        if self.applied {
            self.cx.rounds.policies.changed();
            self.cx.rounds.want_second();
        }
        self.verdict(&facts)
    }

    async fn invoke(
        &mut self,
        invocation: Invocation<'_>,
        namespace: &Value,
        object: &mut Object,
    ) -> Result<(), Status> {
        let (policy, rounds, id) = (invocation.policy, &self.cx.rounds, invocation.id());
        match self.conditions_hold(invocation, object).await? {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(why) => {
                self.refuse(policy, Some(invocation.binding), why, Reason::Invalid);
                return Ok(());
            }
        }
        if rounds.is_second() && !rounds.policies.is_due(&id) {
            return Ok(());
        }
        let mut changed = false;
        for mutation in &policy.evaluator().mutations {
            match self.mutate(invocation, mutation, namespace, object).await {
                Ok(new) => {
                    self.applied = true;
                    changed |= new != *object;
                    *object = new;
                }
                Err(Failed::Finally(status)) => return Err(status),
                Err(Failed::Policy(why)) => self.refuse(policy, Some(invocation.binding), why, Reason::Invalid),
            }
        }
        if changed {
            rounds.policies.changed();
        }
        if policy.evaluator().asked_again {
            rounds.policies.saw(&id);
        }
        Ok(())
    }

    async fn conditions_hold(
        &self,
        invocation: Invocation<'_>,
        object: &Object,
    ) -> Result<Result<bool, String>, Status> {
        let Invocation { policy, form, param, .. } = invocation;
        let mutations = policy.evaluator();
        if mutations.conditions.is_empty() {
            return Ok(Ok(true));
        }
        let facts = Facts::new(self.cx, Some(object), &self.step.registry);
        let (object, old_object) = facts.shown_both(form).await?;
        let request = facts.request(&Form::Own, form);
        let authorizer = questions::variables(&self.step.authorizer, &facts);
        let inputs = Inputs {
            object: &object,
            old_object: &old_object,
            params: param.unwrap_or(&Value::Null),
            request: &request,
            namespace: &Value::Null,
            authorizer: Some(&authorizer),
        };
        Ok(conditions::hold(&mutations.conditions, inputs, &mutations.variables, policy.fails))
    }

    /// The object that a mutation makes.
    async fn mutate(
        &self,
        invocation: Invocation<'_>,
        mutation: &Mutation,
        namespace: &Value,
        object: &Object,
    ) -> Result<Object, Failed> {
        let Invocation { policy, form, param, .. } = invocation;
        let facts = Facts::new(self.cx, Some(object), &self.step.registry);
        let (shown, old_object) = facts.shown_both(form).await.map_err(Failed::Finally)?;
        let patch = {
            let request = facts.request(form, form);
            let authorizer = questions::variables(&self.step.authorizer, &facts);
            let inputs = Inputs {
                object: &shown,
                old_object: &old_object,
                params: param.unwrap_or(&Value::Null),
                request: &request,
                namespace,
                authorizer: Some(&authorizer),
            };
            policy.evaluator().evaluate(mutation, inputs).map_err(Failed::Policy)?
        };
        let new = match patch {
            Patch::Configuration(configuration) => configured(configuration, &shown, &facts, form)?,
            Patch::Json(operations) => match patched(&operations, &shown, &facts, form)? {
                Some(new) => new,
                None => return Ok(object.clone()),
            },
        };
        let mut new = facts.taken_back(new, form).await.map_err(Failed::Finally)?;
        if matches!(self.cx.subresource, "" | "status") {
            self.cx.row.strategy.defaults(&mut new, self.cx.old);
        }
        Ok(new)
    }

    fn refuse(&mut self, policy: &Policy<Mutations>, binding: Option<&Binding>, why: String, reason: Reason) {
        if !policy.fails {
            return;
        }
        let name = &policy.name;
        let message = match binding {
            Some(binding) => format!("policy '{name}' with binding '{}' denied request: {why}", binding.name),
            None => format!("policy {name:?} denied request: {why}"),
        };
        self.refusals.push(Refusal { message, reason });
    }

    fn verdict(self, facts: &Facts<'_>) -> Result<(), Status> {
        let Some(first) = self.refusals.first() else { return Ok(()) };
        let mut status = facts.forbidden("admission request denied by policy");
        status.message.clone_from(&first.message);
        status.reason = first.reason;
        let causes = self.refusals.into_iter().map(|Refusal { message, .. }| Cause { message, ..Cause::default() });
        Err(causes.fold(status, Status::with_cause))
    }
}

/// The shown object with what a configuration has.
fn configured(configuration: Value, shown: &Value, facts: &Facts<'_>, form: &Form) -> Result<Value, Failed> {
    let kind = facts.kind(form).go_string();
    let applied = match facts.types(form) {
        Some((set, ty)) => apply::apply(set, ty, shown, configuration),
        None => Err(format!("failed to convert patch object to typed object: no corresponding type for {kind}")),
    };
    let mut new = applied.map_err(|why| Failed::Policy(format!("error applying patch: {why}")))?;
    let Conformed { error, conversion, .. } = facts.conform(&mut new, form);
    match conversion.or(error) {
        Some(why) => Err(Failed::Policy(format!("unable to convert unstructured object to {kind}: {why}"))),
        None => Ok(new),
    }
}

/// The shown object after operations; `None` where it is not what they were made for.
fn patched(operations: &JsonPatch, shown: &Value, facts: &Facts<'_>, form: &Form) -> Result<Option<Value>, Failed> {
    let mut new = shown.clone();
    match operations.apply(&mut new) {
        Err(error) if error.is_failed_test() => return Ok(None),
        Err(error) => return Err(Failed::Policy(format!("JSON Patch: {error}"))),
        Ok(()) => {}
    }
    let strict = |why: &str| Failed::Finally(Status::internal(format!("strict decoding error: {why}")));
    let kind = |object: &Value| (object["apiVersion"].clone(), object["kind"].clone());
    if kind(&new) != kind(shown) {
        return Err(strict("the object has become one of another kind"));
    }
    let Conformed { error, unknown, .. } = facts.conform(&mut new, form);
    if let Some(why) = error {
        return Err(Failed::Finally(Status::internal(why)));
    }
    // Of custom resources it is dropped later.
    let is_custom = form.row(facts.cx.row).custom.is_some();
    if !unknown.is_empty() && !is_custom {
        let unknown: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        return Err(strict(&unknown.join(", ")));
    }
    Ok(Some(new))
}
