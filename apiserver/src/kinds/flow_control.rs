//! FlowSchema and PriorityLevelConfiguration.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::meta::Meta;
use api::names;
use serde_json::Value;

use super::cursor::{Cursor, Errors};
use super::edit::{default_number, default_to, get_mut};
use crate::strategy::Strategy;

const MAX_PRECEDENCE: i64 = 10_000;
/// The names of the schema and of the level of requests that are never limited.
const EXEMPT: &str = "exempt";

#[derive(Debug)]
pub struct FlowSchema;

#[derive(Debug)]
pub struct PriorityLevel;

impl Strategy for FlowSchema {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = get_mut(new, "spec") {
            default_number(spec, "matchingPrecedence", 1000);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let precedence = spec.child("matchingPrecedence");
        match precedence.int().unwrap_or_default() {
            value if value <= 0 => errors.invalid_as(&precedence, value, "must be a positive value"),
            value if value > MAX_PRECEDENCE => {
                errors.invalid(&precedence, format!("must not be greater than {MAX_PRECEDENCE}"));
            }
            1 if new.name() != EXEMPT => {
                errors.invalid(&precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
            }
            _ => {}
        }
        let method = spec.child("distinguisherMethod");
        if method.is_set() && !["ByNamespace", "ByUser"].contains(&method.text("type")) {
            let at = method.child("type");
            errors.not_supported(&at.showing(method.value), &["ByNamespace", "ByUser"]);
        }
        let level = spec.child("priorityLevelConfiguration");
        let name = level.child("name");
        if name.str().is_empty() {
            errors.required_because(&name, "must reference a priority level");
        } else {
            errors.messages(&name, names::dns1123_subdomain(name.str()));
        }
        for one in spec.child("rules").items() {
            rule(&one, &mut errors);
        }
        conditions(new, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        conditions(new, &mut errors);
        errors.into_vec()
    }
}

/// PolicyRulesWithSubjects.
fn rule(at: &Cursor, errors: &mut Errors) {
    let subjects = at.child("subjects");
    if subjects.is_empty() {
        errors.required_because(&subjects, "subjects must contain at least one value");
    }
    for one in subjects.items() {
        subject(&one, errors);
    }
    let (resources, others) = (at.child("resourceRules"), at.child("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        errors.required_because(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for one in resources.items() {
        verbs(&one.child("verbs"), errors);
        for (name, missing, what) in [
            ("apiGroups", "resource rules must supply at least one api group", "api groups"),
            ("resources", "resource rules must supply at least one resource", "resources"),
        ] {
            some_or_all(&one.child(name), missing, what, errors);
        }
        namespaces(&one.child("namespaces"), one.flag("clusterScope") == Some(true), errors);
    }
    for one in others.items() {
        verbs(&one.child("verbs"), errors);
        let urls = one.child("nonResourceURLs");
        let missing = "nonResourceURLs must contain at least one value";
        if !some_or_all(&urls, missing, "non-resource URLs", errors) {
            urls.items().for_each(|url| url_path(&url, errors));
        }
    }
}

/// Not empty, and nothing beside a `*`. Answers whether that is all there is to check.
fn some_or_all(at: &Cursor, missing: &str, what: &str, errors: &mut Errors) -> bool {
    let all = at.items().any(|item| item.str() == "*");
    if at.is_empty() {
        errors.required_because(at, missing);
    } else if all && at.len() > 1 {
        errors.invalid(at, format!("if '*' is present, must not specify other {what}"));
    }
    all || at.is_empty()
}

fn verbs(at: &Cursor, errors: &mut Errors) {
    const VERBS: [&str; 9] =
        ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
    if !some_or_all(at, "verbs must contain at least one value", "verbs", errors)
        && at.items().any(|verb| !VERBS.contains(&verb.str()))
    {
        errors.not_supported(at, &VERBS);
    }
}

fn namespaces(at: &Cursor, cluster: bool, errors: &mut Errors) {
    let missing = "resource rules that are not cluster scoped must supply at least one namespace";
    if at.is_empty() && cluster || some_or_all(at, missing, "namespaces", errors) {
        return;
    }
    for namespace in at.items() {
        for message in names::dns1123_label(namespace.str()) {
            let detail = format!("each member of this list must be '*' or a DNS-1123 label; {message}");
            errors.invalid(&namespace, detail);
        }
    }
}

fn url_path(at: &Cursor, errors: &mut Errors) {
    let path = at.str();
    let stars = path.matches('*').count();
    let wrong = match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || stars == 1 && !path.ends_with("/*") => Some("wildcard can only do suffix matching"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        errors.invalid_text(at, wrong);
    }
}

/// The kinds of subjects with their fields.
const SUBJECTS: [(&str, &str); 3] = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];

fn subject(at: &Cursor, errors: &mut Errors) {
    let kind = at.child("kind");
    let Some((_, own)) = SUBJECTS.iter().find(|(name, _)| *name == kind.str()) else {
        return errors.not_supported(&kind, &["Group", "ServiceAccount", "User"]);
    };
    let subject = at.child(own);
    let name = subject.child("name");
    if !subject.is_set() {
        errors.required_because(&subject, format!("{own} is required when subject kind is '{}'", kind.str()));
    } else if name.str().is_empty() {
        errors.required(&name);
    } else if kind.str() == "ServiceAccount" && name.str() != "*" {
        errors.messages(&name, names::dns1123_subdomain(name.str()));
    }
    if subject.is_set() && kind.str() == "ServiceAccount" {
        let namespace = subject.child("namespace");
        if namespace.str().is_empty() {
            errors.required_because(&namespace, "must specify namespace for service account");
        } else {
            errors.messages(&namespace, names::dns1123_label(namespace.str()));
        }
    }
    for (name, other) in SUBJECTS.iter().filter(|(name, other)| *name != kind.str() && at.has(other)) {
        errors.forbidden(&at.child(other), format!("{other} is forbidden when subject kind is not '{name}'"));
    }
}

/// Of the status.
fn conditions(object: &Value, errors: &mut Errors) {
    let status = Cursor::root(object, "status");
    let mut seen = BTreeSet::new();
    for condition in status.child("conditions").items() {
        let kind = condition.child("type");
        if !seen.insert(kind.str()) {
            errors.duplicate_as(&kind, kind.str());
        }
        if kind.str().is_empty() {
            errors.required(&kind);
        }
    }
}

impl Strategy for PriorityLevel {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = get_mut(new, "spec") else { return };
        if let Some(exempt) = get_mut(spec, "exempt") {
            default_to(exempt, "nominalConcurrencyShares", 0);
            default_to(exempt, "lendablePercent", 0);
        }
        if let Some(limited) = get_mut(spec, "limited") {
            default_to(limited, "nominalConcurrencyShares", 30);
            default_to(limited, "lendablePercent", 0);
            let queuing = get_mut(limited, "limitResponse").and_then(|response| get_mut(response, "queuing"));
            if let Some(queuing) = queuing {
                default_number(queuing, "handSize", 8);
                default_number(queuing, "queues", 64);
                default_number(queuing, "queueLengthLimit", 50);
            }
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (kind, exempt, limited) = (spec.child("type"), spec.child("exempt"), spec.child("limited"));
        if (new.name() == EXEMPT) != (kind.str() == "Exempt") {
            errors.invalid_text(&kind, "must be 'Exempt' if and only if `name` is 'exempt'");
        }
        match kind.str() {
            "Exempt" => {
                if limited.is_set() {
                    errors.forbidden(&limited, "must be nil if the type is not Limited");
                }
                shares(&exempt, &mut errors);
                lendable(&exempt, &mut errors);
            }
            "Limited" => {
                if exempt.is_set() {
                    errors.forbidden(&exempt, "must be nil if the type is Limited");
                }
                if limited.is_set() {
                    self::limited(&limited, &mut errors);
                } else {
                    errors.required_because(&limited, "must not be empty when type is Limited");
                }
            }
            _ => errors.not_supported(&kind, &["Exempt", "Limited"]),
        }
        conditions(new, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        FlowSchema.validate_subresource(subresource, new, old)
    }
}

fn shares(at: &Cursor, errors: &mut Errors) {
    let shares = at.child("nominalConcurrencyShares");
    if shares.int().is_some_and(|shares| shares < 0) {
        errors.invalid(&shares, "must be a non-negative integer");
    }
}

fn lendable(at: &Cursor, errors: &mut Errors) {
    let percent = at.child("lendablePercent");
    if percent.int().is_some_and(|percent| !(0..=100).contains(&percent)) {
        errors.invalid(&percent, "must be between 0 and 100, inclusive");
    }
}

fn limited(at: &Cursor, errors: &mut Errors) {
    shares(at, errors);
    let response = at.child("limitResponse");
    let (kind, queuing) = (response.child("type"), response.child("queuing"));
    match (kind.str(), queuing.is_set()) {
        ("Reject", true) => {
            errors.forbidden(&queuing, "must be nil if limited.limitResponse.type is not Limited");
        }
        ("Reject", false) => {}
        ("Queue", true) => queues(&queuing, errors),
        ("Queue", false) => {
            errors.required_because(&queuing, "must not be empty if limited.limitResponse.type is Limited");
        }
        _ => errors.not_supported(&kind, &["Queue", "Reject"]),
    }
    lendable(at, errors);
    let borrowing = at.child("borrowingLimitPercent");
    if borrowing.int().is_some_and(|percent| percent < 0) {
        errors.invalid(&borrowing, "if specified, must be a non-negative integer");
    }
}

fn queues(at: &Cursor, errors: &mut Errors) {
    /// Of the hash that deals a hand of queues.
    const MAX_BITS: i64 = 60;
    const MAX_QUEUES: i64 = 10_000_000;
    let (length, queues, hand) = (at.child("queueLengthLimit"), at.child("queues"), at.child("handSize"));
    let number = |at: &Cursor| at.int().unwrap_or_default();
    if number(&length) <= 0 {
        errors.invalid_as(&length, number(&length), "must be positive");
    }
    match number(&queues) {
        count if count <= 0 => errors.invalid_as(&queues, count, "must be positive"),
        count if count > MAX_QUEUES => errors.invalid(&queues, format!("must not be greater than {MAX_QUEUES}")),
        _ => {}
    }
    let bits = ((number(&queues) as f64).log2() * number(&hand) as f64).ceil() as i64;
    if number(&hand) <= 0 {
        errors.invalid_as(&hand, number(&hand), "must be positive");
    } else if number(&hand) > number(&queues) {
        errors.invalid(&hand, format!("should not be greater than queues ({})", number(&queues)));
    } else if bits > MAX_BITS {
        let (queues, size) = (number(&queues), number(&hand));
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {size} should not be greater than {MAX_BITS}"
        );
        errors.invalid(&hand, detail);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let mut level =
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}});
        PriorityLevel.defaults(&mut level, None);
        let limited = json!({
            "nominalConcurrencyShares": 30, "lendablePercent": 0,
            "limitResponse": {"type": "Queue", "queuing": {"handSize": 8, "queues": 64, "queueLengthLimit": 50}},
        });
        assert_eq!(level["spec"]["limited"], limited);
        assert_eq!(PriorityLevel.validate(&level), []);
        let mut schema = json!({"spec": {}});
        FlowSchema.defaults(&mut schema, None);
        assert_eq!(schema["spec"]["matchingPrecedence"], 1000);
        let errors: Vec<String> = FlowSchema.validate(&schema).iter().map(ToString::to_string).collect();
        assert_eq!(errors, ["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"]);
    }

    #[test]
    fn rules_and_queues_are_checked() {
        let schema = |rule: Value| {
            json!({"metadata": {"name": "a"}, "spec": {"matchingPrecedence": 5,
                "priorityLevelConfiguration": {"name": "a"}, "rules": [rule]}})
        };
        let user = json!({"kind": "User", "user": {"name": "u"}});
        let urls = json!([{"verbs": ["get"], "nonResourceURLs": ["/x"]}]);
        let table = [
            (json!({"subjects": [user], "nonResourceRules": urls}), vec![]),
            (json!({}), vec!["spec.rules[0].subjects", "spec.rules[0]"]),
            (
                json!({"subjects": [{"kind": "Group", "user": {"name": "u"}, "serviceAccount": {}}], "nonResourceRules": urls}),
                vec![
                    "spec.rules[0].subjects[0].group",
                    "spec.rules[0].subjects[0].serviceAccount",
                    "spec.rules[0].subjects[0].user",
                ],
            ),
            (
                json!({"subjects": [user], "resourceRules": [{"verbs": ["jump"], "apiGroups": ["*", "a"]}]}),
                vec![
                    "spec.rules[0].resourceRules[0].verbs",
                    "spec.rules[0].resourceRules[0].apiGroups",
                    "spec.rules[0].resourceRules[0].resources",
                    "spec.rules[0].resourceRules[0].namespaces",
                ],
            ),
        ];
        for (rule, expected) in table {
            let errors = FlowSchema.validate(&schema(rule.clone()));
            let fields: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
            assert_eq!(fields, expected, "{rule}");
        }
        let queuing = json!({"handSize": 10, "queues": 64, "queueLengthLimit": 0});
        let limited = json!({"limitResponse": {"type": "Queue", "queuing": queuing}, "lendablePercent": 101});
        let level = json!({"metadata": {"name": "a"}, "spec": {"type": "Limited", "limited": limited}});
        let errors: Vec<String> = PriorityLevel.validate(&level).iter().map(ToString::to_string).collect();
        let expected = [
            "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: 0: must be positive",
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ];
        assert_eq!(errors, expected);
    }
}
