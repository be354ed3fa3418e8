//! The walk through a value, check by check in upstream's order.

use serde_json::{Map, Value};

use super::found::{Found, Problem};
use super::{Numbers, Validator};
use crate::field::ErrorKind;
use crate::structural::format;
use crate::structural::go;

/// `old` is the value in whose place this one is, where that is known.
pub(super) fn check(schema: &Validator, path: &str, value: &Value, old: Option<&Value>) -> Found {
    let found = schema.check(path, value, old);
    if !found.is_valid() && old == Some(value) { found.forgiven() } else { found }
}

impl Validator {
    fn check(&self, path: &str, value: &Value, old: Option<&Value>) -> Found {
        let mut found = Found::default();
        if value.is_null() {
            found.merge(self.kind(path, value));
            found.merge(self.allowed(path, value));
            return found;
        }
        if !self.types.is_empty() || !self.format.is_empty() {
            found.merge(self.kind(path, value));
            found.matches += 1;
        }
        found.merge(self.alternatives(path, value, old));
        found.matches += 1;
        match value {
            Value::String(text) => {
                found.merge(self.string(path, text));
                found.matches += 1;
                if !self.format.is_empty() {
                    if !format::matches(&self.format, text) {
                        found.add(wrong_type(path, &self.format, text));
                    }
                    found.matches += 1;
                }
            }
            Value::Number(_) => {
                found.merge(self.numbers.check(path, value));
                found.matches += 1;
            }
            Value::Array(items) => {
                found.merge(self.list(path, items, old));
                found.matches += 1;
            }
            _ => {}
        }
        found.merge(self.allowed(path, value));
        found.matches += 1;
        if let Value::Object(members) = value {
            found.merge(self.object(path, members, old));
            found.matches += 1;
        }
        found.matches += 1;
        found
    }

    fn kind(&self, path: &str, value: &Value) -> Found {
        let fine = Found::matched();
        let wanted = self.types.join(",");
        let has = |kind: &str| self.types.iter().any(|own| own == kind);
        let (kind, number_format) = match value {
            Value::Null if self.types.is_empty() || self.nullable || has("null") => return fine,
            Value::Null => return Found::of(wrong_type(path, &wanted, "null")),
            Value::Bool(_) => ("boolean", ""),
            Value::Number(number) if is_integer(number) => ("integer", "int64"),
            Value::Number(_) => ("number", "float64"),
            Value::String(_) => ("string", ""),
            Value::Array(_) => ("array", ""),
            Value::Object(_) => ("object", ""),
        };
        let whole = value.as_f64().is_some_and(|float| float.fract() == 0.0 && float.abs() <= MAX_WHOLE);
        let fits = (kind == "number" && whole && has("integer")) || (kind == "integer" && has("number")) || has(kind);
        let is_text = matches!(kind, "string" | "array");
        if !is_text && !self.format.is_empty() && !fits && number_format != self.format {
            return Found::of(wrong_type(path, &self.format, number_format));
        }
        // Of what has a format, the format says what may stand there.
        if is_text && !self.format.is_empty() && !has("number") && !has("integer") {
            return fine;
        }
        if fits { fine } else { Found::of(wrong_type(path, &wanted, kind)) }
    }

    fn allowed(&self, path: &str, value: &Value) -> Found {
        if self.allowed.is_empty() || self.allowed.iter().any(|allowed| go::same(allowed, value) && !value.is_null()) {
            return Found::default();
        }
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let quoted: Vec<String> = self.allowed.iter().map(|value| format!("{:?}", shown(value))).collect();
        Found::of(Problem {
            path: Some(path.to_owned()),
            kind: ErrorKind::NotSupported,
            value: value.clone(),
            message: format!("{path} in body should be one of"),
            detail: Some(format!("supported values: {}", quoted.join(", "))),
        })
    }

    fn string(&self, path: &str, text: &str) -> Found {
        let length = text.chars().count() as u64;
        if let Some(max) = self.max_length.filter(|max| length > *max) {
            return Found::of(Problem {
                path: Some(path.to_owned()),
                kind: ErrorKind::TooLong,
                value: Value::Null,
                message: format!("{path} in body should be at most {max} chars long"),
                detail: Some(format!("may not be more than {max} bytes")),
            });
        }
        if let Some(min) = self.min_length.filter(|min| length < *min) {
            let message = format!("{path} in body should be at least {min} chars long");
            return Found::of(Problem::invalid(path, text.into(), message));
        }
        match self.pattern.as_ref().and_then(|pattern| pattern.problem(text)) {
            Some(pattern) => {
                let message = format!("{path} in body should match '{pattern}'");
                Found::of(Problem::invalid(path, text.into(), message))
            }
            None => Found::default(),
        }
    }

    fn list(&self, path: &str, items: &[Value], old: Option<&Value>) -> Found {
        let mut found = Found::default();
        if let Some(schema) = &self.items {
            for (index, item) in items.iter().enumerate() {
                let old = old.and_then(|old| self.same_element(item, old));
                found.merge(check(schema, &format!("{path}[{index}]"), item, old));
            }
        }
        let size = items.len() as u64;
        if let Some(min) = self.min_items.filter(|min| size < *min) {
            let message = format!("{path} in body should have at least {min} items");
            found.add(Problem::invalid(path, size.into(), message));
        }
        if let Some(max) = self.max_items.filter(|max| size > *max) {
            found.add(too_many(path, size, max, format!("{path} in body should have at most {max} items")));
        }
        let twice = |(index, item): (usize, &Value)| items[..index].iter().any(|other| go::same(other, item));
        if self.unique_items && items.iter().enumerate().any(twice) {
            let message = format!("{path} in body shouldn't contain duplicates");
            found.add(Problem::invalid(path, "".into(), message));
        }
        found.matches += 1;
        found
    }

    /// The element of an old list that has the same keys.
    fn same_element<'o>(&self, item: &Value, old: &'o Value) -> Option<&'o Value> {
        if self.list_keys.is_empty() {
            return None;
        }
        let same = |other: &&Value| self.list_keys.iter().all(|key| other.get(key) == item.get(key));
        old.as_array()?.iter().find(same)
    }

    fn object(&self, path: &str, members: &Map<String, Value>, old: Option<&Value>) -> Found {
        let mut found = Found::default();
        let size = members.len() as u64;
        if let Some(min) = self.min_properties.filter(|min| size < *min) {
            let message = format!("{path} in body should have at least {min} properties");
            found.add(Problem::invalid(path, size.into(), message));
        }
        if let Some(max) = self.max_properties.filter(|max| size > *max) {
            found.add(too_many(path, size, max, format!("{path} in body should have at most {max} properties")));
        }
        for (name, value) in members {
            let (schema, below) = match (self.properties.get(name), &self.additional) {
                (Some(schema), _) if path.is_empty() => (schema, name.clone()),
                (Some(schema), _) => (schema, format!("{path}.{name}")),
                (None, Some(schema)) => (&**schema, format!("{path}.{name}")),
                (None, None) => continue,
            };
            let is_type = path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind");
            let old = old.and_then(|old| old.get(name)).filter(|_| !is_type);
            found.merge(check(schema, &below, value, old));
        }
        for name in self.required.iter().filter(|name| !members.contains_key(*name)) {
            found.add(Problem {
                path: Some(format!("{path}.{name}")),
                kind: ErrorKind::Required,
                value: Value::Null,
                message: format!("{path}.{name} in body is required"),
                detail: Some(String::new()),
            });
        }
        found
    }

    fn alternatives(&self, path: &str, value: &Value, old: Option<&Value>) -> Found {
        let mut found = Found::default();
        if !self.any_of.is_empty() {
            let (valid, best) = try_all(&self.any_of, path, value, old, true);
            if valid == 0 {
                found.add(Problem::composite(format!("{path:?} must validate at least one schema (anyOf)")));
            }
            found.merge(best);
        }
        if !self.one_of.is_empty() {
            let (valid, best) = try_all(&self.one_of, path, value, old, false);
            if valid != 1 {
                let why = match valid {
                    0 => "Found none valid".to_owned(),
                    _ => format!("Found {valid} valid alternatives"),
                };
                let message = format!("{path:?} must validate one and only one schema (oneOf). {why}");
                found.add(Problem::composite(message));
            }
            if valid < 2 {
                found.merge(best);
            }
        }
        let mut valid = 0;
        for schema in &self.all_of {
            let result = schema.check(path, value, old);
            valid += usize::from(result.is_valid());
            found.merge(result);
        }
        if valid != self.all_of.len() {
            let why = if valid == 0 { ". None validated" } else { "" };
            found.add(Problem::composite(format!("{path:?} must validate all the schemas (allOf){why}")));
        }
        if self.not.as_ref().is_some_and(|not| not.check(path, value, old).is_valid()) {
            found.add(Problem::composite(format!("{path:?} must not validate the schema (not)")));
        }
        found.matches += 1;
        found
    }
}

/// How many alternatives hold, and what the first of them found, or the one that fails best.
fn try_all(
    schemas: &[Validator],
    path: &str,
    value: &Value,
    old: Option<&Value>,
    one_is_enough: bool,
) -> (usize, Found) {
    let (mut valid, mut first, mut best) = (0, None, None::<Found>);
    for schema in schemas {
        let found = schema.check(path, value, old);
        if found.is_valid() {
            valid += 1;
            first.get_or_insert(found);
            if one_is_enough {
                break;
            }
        } else if best.as_ref().is_none_or(|best| found.matches > best.matches) {
            best = Some(found);
        }
    }
    (valid, first.or(best).unwrap_or_default())
}

impl Numbers {
    fn check(&self, path: &str, value: &Value) -> Found {
        let mut found = Found::matched();
        let Some(number) = value.as_f64() else { return found };
        let integer = value.as_i64();
        // Integers are compared with what the limit is as an integer, as upstream does.
        let limit = |limit: f64| if integer.is_some() { limit.trunc() } else { limit };
        let mut say =
            |what: String| found.add(Problem::invalid(path, value.clone(), format!("{path} in body should be {what}")));
        if let Some(factor) = self.multiple_of.map(limit).filter(|factor| *factor > 0.0) {
            let quotient = if factor < 1.0 { 1.0 / factor * number } else { number / factor };
            if quotient.fract() != 0.0 {
                say(format!("a multiple of {}", go::float(factor)));
            }
        }
        if let Some(minimum) = self.minimum.map(limit) {
            let shown = go::float(minimum);
            match self.exclusive_minimum {
                true if number <= minimum => say(format!("greater than {shown}")),
                false if number < minimum => say(format!("greater than or equal to {shown}")),
                _ => {}
            }
        }
        if let Some(maximum) = self.maximum.map(limit) {
            let shown = go::float(maximum);
            match self.exclusive_maximum {
                true if number >= maximum => say(format!("less than {shown}")),
                false if number > maximum => say(format!("less than or equal to {shown}")),
                _ => {}
            }
        }
        found
    }
}

/// What is written with a fraction or an exponent counts as an integer up to here, where each is exact: 2^53 - 1.
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

fn is_integer(number: &serde_json::Number) -> bool {
    number.as_i64().is_some()
}

fn wrong_type(path: &str, wanted: &str, found: &str) -> Problem {
    let message = format!("{path} in body must be of type {wanted}: {found:?}");
    Problem { kind: ErrorKind::TypeInvalid, ..Problem::invalid(path, found.into(), message) }
}

fn too_many(path: &str, size: u64, max: u64, message: String) -> Problem {
    let items = if max == 1 { "item" } else { "items" };
    Problem {
        path: Some(path.to_owned()),
        kind: ErrorKind::TooMany,
        value: size.into(),
        message,
        detail: Some(format!("must have at most {max} {items}")),
    }
}
