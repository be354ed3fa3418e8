//! Which bindings of a policy are about a request, and with which parameters.

use api::Object;

use super::index::Hook;
use super::object::{Binding, Expressions};
use super::params;
use crate::admission::facts::Facts;
use crate::admission::matching::Form;
use crate::registry::Registry;

/// One binding and its parameters, each of them an evaluation. `None` is one without parameters.
pub struct Bound<'h> {
    pub binding: &'h Binding,
    /// In which the policy wants the request.
    pub form: Form,
    pub params: Vec<Option<Object>>,
}

/// Why a policy cannot be asked; `None`: whatever binds it.
pub struct Misconfigured<'h> {
    pub binding: Option<&'h Binding>,
    pub why: String,
}

/// In the order of the bindings.
pub async fn bound<'h, E: Expressions>(
    hook: &'h Hook<E>,
    facts: &Facts<'_>,
    registry: &Registry,
) -> Vec<Result<Bound<'h>, Misconfigured<'h>>> {
    let policy = &*hook.policy;
    let wrong = |binding, why| Err(Misconfigured { binding, why });
    let form = match facts.form(&policy.resources).await {
        Ok(Some(form)) => form,
        Ok(None) => return Vec::new(),
        Err(status) => return vec![wrong(None, status.message)],
    };
    let row = match params::row(policy, registry) {
        Ok(row) => row,
        Err(why) => return vec![wrong(None, why)],
    };
    let mut found = Vec::new();
    for binding in &hook.bindings {
        let about = match &binding.resources {
            Some(resources) => facts.form(resources).await.map(|form| form.is_some()),
            None => Ok(true),
        };
        let collected = match about {
            Ok(true) => {
                let (namespace, reader) = (facts.namespace(), facts.cx.reader);
                params::collect(row.as_deref(), binding.params.as_ref(), namespace, reader).await
            }
            Ok(false) => Ok(Vec::new()),
            Err(status) => Err(status.message),
        };
        match collected {
            Ok(params) if params.is_empty() => {}
            Ok(params) => found.push(Ok(Bound { binding, form: form.clone(), params })),
            Err(why) => found.push(wrong(Some(binding), why)),
        }
    }
    found
}
