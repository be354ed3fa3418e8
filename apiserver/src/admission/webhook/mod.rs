//! Admission webhooks: services that are asked about requests (`k8s.io/apiserver/pkg/admission/plugin/webhook`).
//!
//! [`Index`] knows them, [`object`] is how they are read, `review` and `rejection` are what is asked and answered, `annotations` what the audit
//! log is told, [`crate::outbound`] sends. The steps
//! are `mutating`, one webhook after the other, and `validating`, all at once; what both do is here.

mod annotations;
mod index;
mod mutating;
pub mod object;
mod rejection;
mod review;
mod validating;

use api::status::{Qualified, Status};
use cel::admission::Inputs;
use serde_json::Value;
use tokio::time::Instant;

use self::annotations::Place;
pub use self::index::Index;
pub use self::mutating::MutatingAdmissionWebhook;
use self::object::Webhook;
use self::review::Answer;
pub use self::validating::ValidatingAdmissionWebhook;
use super::facts::Facts;
use super::matching::Form;
use super::{Attributes, Surroundings, conditions, questions};
use crate::metrics::Phase;

const CONFIGURATIONS: [&str; 6] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// What the server writes for itself, and what webhooks could lock themselves in with, is not asked about.
fn is_exempt(cx: &Attributes<'_>) -> bool {
    let info = cx.resource;
    cx.query.is_none() || info.group == "admissionregistration.k8s.io" && CONFIGURATIONS.contains(&info.kind.as_str())
}

/// Why a webhook gave no answer.
#[derive(Clone, Debug, PartialEq)]
enum Failure {
    /// It could not be asked, or its answer is none: for `failurePolicy` to decide.
    Unasked(String),
    /// The request is refused.
    Refused(Status),
}

/// The form in which a webhook wants the request; `None` when it is not to be asked.
async fn wants(hook: &Webhook, facts: &Facts<'_>, surroundings: &Surroundings) -> Result<Option<Form>, Status> {
    let Some(form) = facts.form(&hook.resources).await? else { return Ok(None) };
    let conditions = hook.conditions();
    if conditions.is_empty() {
        return Ok(Some(form));
    }
    let (object, old_object) = facts.shown_both(&form).await?;
    let request = facts.request(&Form::Own, &form);
    let authorizer = questions::variables(&surroundings.authorizer, facts);
    let inputs = Inputs {
        object: &object,
        old_object: &old_object,
        params: &Value::Null,
        request: &request,
        namespace: &Value::Null,
        authorizer: Some(&authorizer),
    };
    match conditions::hold(conditions, inputs, &[], hook.fails) {
        Ok(true) => Ok(Some(form)),
        Ok(false) => Ok(None),
        Err(why) => {
            let info = facts.cx.resource;
            Err(Status::forbidden(Qualified::new(&info.group, &info.plural), facts.name(), &why))
        }
    }
}

/// Asks, says the warnings of the answer, and counts.
async fn ask(
    hook: &Webhook,
    facts: &Facts<'_>,
    form: &Form,
    surroundings: &Surroundings,
    phase: Phase,
) -> Result<Answer, Failure> {
    let began = Instant::now();
    let asked = answer(hook, facts, form, surroundings, phase).await;
    let (code, refused) = match &asked {
        Ok(_) => (200, false),
        Err(Failure::Refused(status)) => (status.code, true),
        Err(Failure::Unasked(_)) => (0, hook.fails),
    };
    let operation = facts.cx.operation;
    surroundings.admissions.asked(&hook.name, phase, operation, code, refused, began.elapsed());
    if refused {
        let error = if code == 0 { "calling_webhook_error" } else { "no_error" };
        surroundings.admissions.refused(&hook.name, phase, operation, error, code);
    } else if asked.is_err() {
        surroundings.admissions.passed_over(&hook.name, phase);
    }
    asked
}

async fn answer(
    hook: &Webhook,
    facts: &Facts<'_>,
    form: &Form,
    surroundings: &Surroundings,
    phase: Phase,
) -> Result<Answer, Failure> {
    let cx = facts.cx;
    if cx.dry_run && !hook.knows_dry_run {
        let why = format!("admission webhook {:?} does not support dry run", hook.name);
        return Err(Failure::Refused(Status::bad_request(why)));
    }
    let unasked = |why: String| Failure::Unasked(format!("failed calling webhook {:?}: {why}", hook.name));
    let version = hook.version.ok_or_else(|| {
        let why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        unasked(format!("could not create admission objects: {why}"))
    })?;
    let (object, old_object) =
        facts.shown_both(form).await.map_err(|status| Failure::Refused(Status::internal(status)))?;
    let uid = uuid::Uuid::new_v4().to_string();
    let review = version.review(&uid, facts.request(form, form), &object, &old_object);
    let services = surroundings.registry.find("", "services");
    let service = |namespace: &str, name: &str| {
        let found = services.map(|row| cx.reader.cached(row, namespace, name)).transpose();
        found.map(Option::flatten).map_err(|status| status.message)
    };
    let query = format!("timeout={}s", hook.timeout.as_secs());
    let body = review.to_string();
    let answered = surroundings.webhooks.post(&hook.client, &query, hook.timeout, body, service).await;
    let answered = answered.map_err(|why| unasked(format!("failed to call webhook: {why}")))?;
    let answer =
        version.answer(&uid, &answered, phase == Phase::Admit).map_err(|refused| unasked(refused.to_string()))?;
    cx.warnings.extend(answer.warnings.iter().cloned());
    if let Some(record) = cx.warnings.record() {
        for (key, value) in &answer.annotations {
            record.annotate(format!("{}/{key}", hook.name), value.as_str());
        }
    }
    if answer.allowed {
        return Ok(answer);
    }
    Err(Failure::Refused(rejection::rejection(&hook.name, &answer.result)))
}

/// What comes of a failure: nothing, or the refusal of the request.
fn judge(place: Place<'_>, phase: Phase, failure: Failure) -> Result<(), Status> {
    let hook = place.hook;
    match failure {
        Failure::Refused(status) => Err(status),
        Failure::Unasked(why) if hook.fails => Err(Status::internal(why)),
        Failure::Unasked(why) => {
            tracing::warn!(webhook = hook.name, why, "a webhook is passed over");
            place.passed_over(phase == Phase::Admit);
            Ok(())
        }
    }
}
