//! How objects come from one version to another.

use api::field::{FieldError, Path};
use serde_json::Value;

use super::super::webhook_client::{client, review_versions};
use super::validation::text;

pub(super) fn validate(path: &Path, conversion: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let config = &conversion["webhook"]["clientConfig"];
    let reviews = conversion["webhook"]["conversionReviewVersions"].as_array().cloned().unwrap_or_default();
    let at = path.child("webhookClientConfig");
    match text(conversion, "strategy") {
        "Webhook" => {
            if config.is_object() {
                client(&at, config, &mut errors);
            } else {
                errors.push(FieldError::required(&at, "required when strategy is set to Webhook"));
            }
            review_versions(&path.child("conversionReviewVersions"), &reviews, "", &mut errors);
            return errors;
        }
        "None" => {}
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        other => errors.push(FieldError::not_supported(&path.child("strategy"), other, &["None", "Webhook"])),
    }
    let detail = "should not be set when strategy is not set to Webhook";
    if config.is_object() {
        errors.push(FieldError::forbidden(&at, detail));
    }
    if !reviews.is_empty() {
        errors.push(FieldError::forbidden(&path.child("conversionReviewVersions"), detail));
    }
    errors
}
