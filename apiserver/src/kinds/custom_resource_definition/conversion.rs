//! How objects come from one version to another.

use std::collections::BTreeSet;

use api::field::{FieldError, Path};
use api::names;
use serde_json::Value;

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
            review_versions(&path.child("conversionReviewVersions"), &reviews, &mut errors);
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

fn client(path: &Path, config: &Value, errors: &mut Vec<FieldError>) {
    let (url, service) = (config["url"].as_str(), &config["service"]);
    match (url, service.is_object()) {
        (Some(_), true) | (None, false) => {
            errors.push(FieldError::required(path, "exactly one of url or service is required"));
        }
        (Some(url), false) => webhook_url(&path.child("url"), url, errors),
        (None, true) => {
            let path = path.child("service");
            for key in ["name", "namespace"] {
                if text(service, key).is_empty() {
                    errors.push(FieldError::required(&path.child(key), ""));
                }
            }
            let port = service["port"].as_i64().unwrap_or(443);
            if let Some(why) = names::port_number(port) {
                errors.push(FieldError::invalid(&path.child("port"), port, format!("port is not valid: {why}")));
            }
        }
    }
}

fn webhook_url(path: &Path, url: &str, errors: &mut Vec<FieldError>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        errors.push(FieldError::invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}")));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || scheme.is_empty() {
        errors.push(FieldError::invalid(path, "", format!("host must be specified{FORM}")));
    }
    if let Some((user, _)) = authority.rsplit_once('@') {
        errors.push(FieldError::invalid(path, user, "user information is not permitted in the URL"));
    }
    if let Some((_, fragment)) = url.split_once('#').filter(|(_, fragment)| !fragment.is_empty()) {
        errors.push(FieldError::invalid(path, fragment, "fragments are not permitted in the URL"));
    }
    if let Some((_, query)) = url.split_once('?') {
        let query = query.split('#').next().unwrap_or_default();
        errors.push(FieldError::invalid(path, query, "query parameters are not permitted in the URL"));
    }
}

fn review_versions(path: &Path, versions: &[Value], errors: &mut Vec<FieldError>) {
    if versions.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        if !seen.insert(version) {
            errors.push(FieldError::invalid(&path.index(index), version, "duplicate version"));
            continue;
        }
        let wrong = names::dns1035_label(version).into_iter();
        errors.extend(wrong.map(|why| FieldError::invalid(&path.index(index), version, why)));
    }
    if !seen.contains("v1") && !seen.contains("v1beta1") {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, versions.to_vec(), detail));
    }
}
