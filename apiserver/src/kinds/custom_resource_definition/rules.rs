//! The rules of a schema: their form, whether they can be read, and what they may cost (`validation.go`, `cel_validation.go`).

use api::field::{ErrorKind, FieldError, Path};
use cel::schema::{Declaration, Schema, escape};
use serde_json::Value;

use crate::custom::rules::{Compiled, Text, compile, field_path};

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// What one rule may cost, with all the times that it is computed for an object.
const RULE_LIMIT: u64 = 10_000_000;
/// What all rules of a schema may cost.
const SCHEMA_LIMIT: u64 = 100_000_000;
/// So many rules are named when all together cost too much.
const NAMED: usize = 4;

/// What can be said of a rule without reading it.
pub(super) fn form(path: &Path, schema: &Value, errors: &mut Vec<FieldError>) {
    for (index, rule) in schema["x-kubernetes-validations"].as_array().into_iter().flatten().enumerate() {
        let path = path.index(index);
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let breaks = |text: &str| text.contains(['\n', '\r']);
        let (trimmed, message) = (text("rule").trim(), text("message"));
        if trimmed.is_empty() {
            errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(&path.child("message"), message, "must be non-empty if specified"));
        } else if breaks(message.trim()) {
            errors.push(FieldError::invalid(&path.child("message"), message, "must not contain line breaks"));
        } else if breaks(trimmed) && message.trim().is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&path.child("message"), detail));
        }
        if !text("messageExpression").is_empty() && text("messageExpression").trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(&path.child("messageExpression"), detail));
        }
        if !text("reason").is_empty() && !REASONS.contains(&text("reason")) {
            errors.push(FieldError::not_supported(&path.child("reason"), text("reason"), &REASONS));
        }
        let (at, field) = (path.child("fieldPath"), text("fieldPath"));
        if !field.is_empty() && field.trim().is_empty() {
            errors.push(FieldError::invalid(&at, field, "must be non-empty if specified"));
        }
        if breaks(field) {
            errors.push(FieldError::invalid(&at, field, "must not contain line breaks"));
        }
        if !field.is_empty() && field_path::read(field, schema).is_err() {
            errors.push(FieldError::invalid(&at, field, "must be a valid path"));
        }
    }
}

/// What is wrong with the rules themselves. `known` is what is wrong with the schema: rules around that are not read. Of a schema that
/// is `unchanged`, single rules may cost what they did.
pub(super) fn validate(path: &Path, schema: &Value, known: &[FieldError], unchanged: bool) -> Vec<FieldError> {
    let mut reading = Reading { known, unchanged, errors: Vec::new(), total: 0, expensive: Vec::new() };
    let place = Place { count: Some(1), declaration: None, uncorrelated: None, is_root: true };
    reading.node(path, schema, &place);
    let Reading { mut errors, total, mut expensive, .. } = reading;
    if total > SCHEMA_LIMIT {
        expensive.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        for (path, _) in expensive.iter().take(NAMED) {
            let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.push(FieldError::forbidden(path, detail));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(path, exceeds(what, total, SCHEMA_LIMIT)));
    }
    errors
}

struct Reading<'k> {
    known: &'k [FieldError],
    unchanged: bool,
    errors: Vec<FieldError>,
    total: u64,
    /// Rules that cost at least a hundredth of the limit.
    expensive: Vec<(Path, u64)>,
}

/// Where a node is.
struct Place {
    /// How many there can be of it in an object; `None` when nothing bounds that.
    count: Option<u64>,
    /// From the nearest node above with rules.
    declaration: Option<Declaration>,
    /// The list around it in whose elements nothing old is found again.
    uncorrelated: Option<Path>,
    is_root: bool,
}

impl Reading<'_> {
    fn node(&mut self, path: &Path, schema: &Value, place: &Place) {
        let has_rules = schema["x-kubernetes-validations"].as_array().is_some_and(|rules| !rules.is_empty());
        let is_resource = place.is_root || schema["x-kubernetes-embedded-resource"] == true;
        let declared = || Declaration::of(&Schema::read(schema, is_resource), "selfType");
        let declaration = place.declaration.clone().or_else(|| has_rules.then(declared).flatten());
        let count = place.count.zip(elements(schema)).map(|(count, each)| count.saturating_mul(each));
        let below = |declaration: Option<Declaration>, uncorrelated: Option<Path>| Place {
            count,
            declaration,
            uncorrelated,
            is_root: false,
        };
        let element = || declaration.as_ref().and_then(Declaration::element).cloned();
        if schema["additionalProperties"].is_object() {
            let place = below(element(), place.uncorrelated.clone());
            self.node(&path.child("additionalProperties"), &schema["additionalProperties"], &place);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let field = escape(name).and_then(|name| declaration.as_ref()?.fields.get(&name).cloned());
            let place = below(field, place.uncorrelated.clone());
            self.node(&path.child("properties").key(name), property, &place);
        }
        if schema["items"].is_object() {
            let is_map = schema["x-kubernetes-list-type"] == "map";
            let uncorrelated = place.uncorrelated.clone().or_else(|| (!is_map).then(|| path.clone()));
            self.node(&path.child("items"), &schema["items"], &below(element(), uncorrelated));
        }
        if has_rules && !self.is_wrong(path) {
            self.rules(path, schema, place, declaration.as_ref());
        }
    }

    /// Something is wrong with the schema here or below.
    fn is_wrong(&self, path: &Path) -> bool {
        let below = |error: &FieldError| {
            error
                .path
                .as_str()
                .strip_prefix(path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.known.iter().any(below)
    }

    fn rules(&mut self, path: &Path, schema: &Value, place: &Place, declaration: Option<&Declaration>) {
        let path = path.child("x-kubernetes-validations");
        let Some(declaration) = declaration else {
            let detail = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to \
                          convert structural schema to CEL declarations";
            return self.errors.push(FieldError {
                kind: ErrorKind::Internal,
                path,
                value: Value::Null,
                detail: detail.to_owned(),
            });
        };
        let texts = Text::all(schema);
        for (index, (text, compiled)) in texts.iter().zip(compile(&texts, schema, declaration)).enumerate() {
            self.rule(&path.index(index), text, &compiled, place);
        }
    }

    fn rule(&mut self, path: &Path, text: &Text, compiled: &Compiled, place: &Place) {
        let rule = path.child("rule");
        let cost = compiled.max_cost.saturating_mul(place.count.unwrap_or(compiled.max_count));
        self.pay(&rule, "estimated rule cost", cost);
        if let Some(why) = &compiled.error {
            self.errors.push(invalid(&rule, text, why));
        }
        let message = path.child("messageExpression");
        match (&compiled.message_error, &compiled.message) {
            (Some(why), _) => self.errors.push(invalid(&message, text, why)),
            (None, Some(_)) => self.pay(&message, "estimated messageExpression cost", compiled.message_max_cost),
            (None, None) => {}
        }
        match (&place.uncorrelated, text.optional_old_self) {
            (Some(list), _) if compiled.uses_old_self => {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
                self.errors.push(FieldError::invalid(&rule, text.rule.as_str(), detail));
            }
            (_, Some(optional)) if !compiled.uses_old_self => {
                let detail = "may not be set if oldSelf is not used in rule";
                self.errors.push(FieldError::invalid(&path.child("optionalOldSelf"), optional, detail));
            }
            _ => {}
        }
    }

    fn pay(&mut self, path: &Path, what: &str, cost: u64) {
        if !self.unchanged && cost > RULE_LIMIT {
            self.errors.push(FieldError::forbidden(path, exceeds(what, cost, RULE_LIMIT)));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_LIMIT / 100 {
            self.expensive.push((path.clone(), cost));
        }
    }
}

/// How many there can be of what is in a list or map; one of what is in an object.
fn elements(schema: &Value) -> Option<u64> {
    let limit = |key: &str| schema[key].as_i64().map(|limit| u64::try_from(limit).unwrap_or_default());
    match schema["type"].as_str() {
        Some("array") => limit("maxItems"),
        Some("object") if !schema["additionalProperties"].is_null() => limit("maxProperties"),
        _ => Some(1),
    }
}

fn exceeds(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        factor if factor > 100.0 => "more than 100x".to_owned(),
        factor if factor < 1.5 => format!("{factor:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength \
         where arrays, maps, and strings are declared)"
    )
}

/// Upstream shows the rule in its internal form.
fn invalid(path: &Path, text: &Text, why: &str) -> FieldError {
    let json = |text: &str| {
        let quoted = Value::from(text).to_string();
        quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    };
    let reason = text.reason.as_deref().map_or("null".to_owned(), json);
    let optional = text.optional_old_self.map_or("null".to_owned(), |optional| optional.to_string());
    let shown = format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{reason},\"FieldPath\":{},\"OptionalOldSelf\":{optional}}}",
        json(&text.rule),
        json(&text.message),
        json(&text.message_expression),
        json(&text.field_path),
    );
    FieldError { kind: ErrorKind::InvalidShown, path: path.clone(), value: shown.into(), detail: why.to_owned() }
}
