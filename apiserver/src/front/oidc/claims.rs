//! From the claims of a token to a user.

use cel::Value;
use serde_json::{Value as Json, json};

use super::config::ClaimMappings;
use super::expressions::{Expression, Mapper, Rule};
use crate::user::UserInfo;

/// Which credential a user has shown.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// Of a token whose signature is good.
pub struct Claims<'t> {
    raw: &'t Json,
    /// As expressions see them.
    seen: Json,
}

impl<'t> Claims<'t> {
    pub fn new(raw: &'t Json) -> Self {
        Self { raw, seen: as_go_reads(raw) }
    }

    pub fn user(&self, mappings: &ClaimMappings, mapper: &Mapper) -> Result<UserInfo, String> {
        Ok(UserInfo {
            name: self.name(mappings, mapper)?,
            groups: self.groups(mappings, mapper)?,
            uid: self.uid(mappings, mapper)?,
            extra: self.extra(mapper)?,
        })
    }

    /// Whether all rules hold.
    pub fn check(&self, mapper: &Mapper) -> Result<(), String> {
        check(&mapper.claim_rules, &self.seen)
            .map_err(|error| format!("error evaluating claim validation expression: {error}"))
    }

    fn text(&self, claim: &str) -> Result<&str, String> {
        match &self.raw[claim] {
            Json::String(text) => Ok(text),
            Json::Null => Err("claim not present".to_owned()),
            _ => Err("it is not a string".to_owned()),
        }
    }

    fn name(&self, mappings: &ClaimMappings, mapper: &Mapper) -> Result<String, String> {
        if let Some(expression) = &mapper.username {
            let failed = |error: String| format!("error evaluating username claim expression: {error}");
            let name = string(expression, &self.seen, "username").map_err(failed)?;
            return match name.as_str() {
                "" => Err("empty username via CEL expression is not allowed".to_owned()),
                _ => Ok(name),
            };
        }
        let claim = &mappings.username.claim;
        let name = self.text(claim).map_err(|error| format!("parse username claims {claim:?}: {error}"))?;
        if claim == "email" {
            match &self.raw["email_verified"] {
                Json::Null | Json::Bool(true) => {}
                Json::Bool(false) => return Err("email not verified".to_owned()),
                _ => return Err("parse 'email_verified' claim: it is not a boolean".to_owned()),
            }
        }
        Ok(format!("{}{name}", mappings.username.prefix.as_deref().unwrap_or_default()))
    }

    fn groups(&self, mappings: &ClaimMappings, mapper: &Mapper) -> Result<Vec<String>, String> {
        let claim = &mappings.groups.claim;
        if let Some(found) = self.raw.get(claim).filter(|_| !claim.is_empty()) {
            let wrong = || format!("parse groups claim {claim:?}: it is neither a string nor a list of strings");
            let groups: Vec<&str> = match found {
                Json::String(one) => vec![one],
                Json::Array(all) => all.iter().map(Json::as_str).collect::<Option<_>>().ok_or_else(wrong)?,
                _ => return Err(wrong()),
            };
            let prefix = mappings.groups.prefix.as_deref().unwrap_or_default();
            return Ok(groups.into_iter().map(|group| format!("{prefix}{group}")).collect());
        }
        let Some(expression) = &mapper.groups else { return Ok(Vec::new()) };
        let found = expression.eval(&self.seen).and_then(|value| strings(&value));
        found.map_err(|error| format!("error evaluating group claim expression: {error}"))
    }

    fn uid(&self, mappings: &ClaimMappings, mapper: &Mapper) -> Result<String, String> {
        let claim = &mappings.uid.claim;
        if !claim.is_empty() {
            let uid = self.text(claim).map_err(|error| format!("parse uid claim {claim:?}: {error}"))?;
            return Ok(uid.to_owned());
        }
        let Some(expression) = &mapper.uid else { return Ok(String::new()) };
        string(expression, &self.seen, "uid").map_err(|error| format!("error evaluating uid claim expression: {error}"))
    }

    fn extra(&self, mapper: &Mapper) -> Result<std::collections::BTreeMap<String, Vec<String>>, String> {
        let mut extra = std::collections::BTreeMap::new();
        if let Ok(id) = self.text("jti") {
            extra.insert(CREDENTIAL.to_owned(), vec![format!("JTI={id}")]);
        }
        for (key, expression) in &mapper.extra {
            let values = expression.eval(&self.seen).and_then(|value| strings(&value));
            let source = &expression.source;
            let values =
                values.map_err(|error| format!("error evaluating extra claim expression: {source}: {error}"))?;
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        Ok(extra)
    }
}

/// Whether the rules about users hold for this one.
pub fn check_user(mapper: &Mapper, user: &UserInfo) -> Result<(), String> {
    let seen = json!({"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra});
    check(&mapper.user_rules, &seen).map_err(|error| format!("error evaluating user info validation rule: {error}"))
}

fn check(rules: &[Rule], data: &Json) -> Result<(), String> {
    for Rule { expression, message } in rules {
        match expression.eval(data)? {
            Value::Bool(true) => {}
            Value::Bool(false) => {
                return Err(format!("validation expression '{}' failed: {message}", expression.source));
            }
            _ => return Err("validation expression must return a boolean".to_owned()),
        }
    }
    Ok(())
}

fn string(expression: &Expression, data: &Json, what: &str) -> Result<String, String> {
    match expression.eval(data)? {
        Value::String(text) => Ok(text.to_string()),
        _ => Err(format!("{what} claim expression must return a string")),
    }
}

/// A string or a list of them; empty ones are none.
fn strings(value: &Value) -> Result<Vec<String>, String> {
    const WRONG: &str = "expression must return a string or a list of strings";
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.to_string()),
        _ => Err(WRONG.to_owned()),
    };
    let found = match value {
        Value::Null => Vec::new(),
        Value::List(list) => {
            let items = list.iter().map(|item| item.map_err(|_| WRONG.to_owned()).and_then(|item| one(&item)));
            items.collect::<Result<_, _>>()?
        }
        other => vec![one(other)?],
    };
    Ok(found.into_iter().filter(|text| !text.is_empty()).collect())
}

/// Go reads every number as a float.
fn as_go_reads(value: &Json) -> Json {
    match value {
        Json::Number(number) => number.as_f64().map_or(Json::Null, Json::from),
        Json::Array(items) => items.iter().map(as_go_reads).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), as_go_reads(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}
