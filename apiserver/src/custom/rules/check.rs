//! The walk of rules through an object. All rules of an object have one budget.

use api::field::{ErrorKind, FieldError, Path};
use cel::{Error, OBJECT_BUDGET, Outcome, Value, Variables};
use serde_json::Value as Json;

use super::correlate::{Correlation, find};
use super::{Compiled, Rules, Text};

/// The longest text that `messageExpression` may come to, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// What rules say about an object.
#[derive(Debug, Default)]
pub struct Verdict {
    pub errors: Vec<FieldError>,
    /// What is wrong and was so before.
    pub let_be: Vec<FieldError>,
}

impl Rules {
    /// `old` is the object before an update.
    pub fn check(&self, object: &Json, old: Option<&Json>) -> Verdict {
        let mut walk = Walk { verdict: Verdict::default(), budget: OBJECT_BUDGET };
        // It ends early when the budget is spent, and has said so.
        let _ended = walk.node(self, &Path::default(), object, old, Correlation::of(object, old));
        walk.verdict
    }
}

/// Nothing more is checked.
struct Ended;

struct Walk {
    verdict: Verdict,
    budget: u64,
}

/// `self` and `oldSelf`, read as the schema says.
struct Scope<'o> {
    rules: &'o Rules,
    object: &'o Json,
    old: Option<&'o Json>,
    optional: bool,
}

impl<'o> Variables<'o> for Scope<'o> {
    fn get(&self, name: &str) -> Option<Result<Value<'o>, Error>> {
        let read = |json: &'o Json| Value::typed(json, &self.rules.schema);
        match (name, self.old) {
            ("self", _) => Some(read(self.object)),
            ("oldSelf", Some(old)) if self.optional => Some(read(old).map(Value::some)),
            ("oldSelf", None) if self.optional => Some(Ok(Value::none())),
            ("oldSelf", old) => old.map(read),
            _ => None,
        }
    }
}

impl Walk {
    fn node(
        &mut self,
        rules: &Rules,
        path: &Path,
        object: &Json,
        old: Option<&Json>,
        correlation: Correlation<'_>,
    ) -> Result<(), Ended> {
        if object.is_null() {
            return Ok(());
        }
        let old = old.filter(|old| !old.is_null());
        self.rules(rules, path, object, old, correlation)?;
        match object {
            Json::Array(items) => {
                let Some(below) = &rules.items else { return Ok(()) };
                for (index, item) in items.iter().enumerate() {
                    let before = find(old, item, &rules.list_keys);
                    self.node(below, &path.index(index), item, before, correlation.element(item, before))?;
                }
            }
            Json::Object(members) => {
                for (name, member) in members {
                    let before = old.and_then(|old| old.get(name));
                    if let Some(below) = &rules.additional {
                        self.node(below, &path.key(name), member, before, correlation.member(name))?;
                    }
                    if let Some(below) = rules.properties.get(name) {
                        self.node(below, &path.child(name), member, before, correlation.member(name))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn invalid(&mut self, path: &Path, rules: &Rules, detail: impl Into<String>) {
        self.verdict.errors.push(FieldError::invalid(&shown(path), rules.kind.as_str(), detail));
    }

    fn rules(
        &mut self,
        rules: &Rules,
        path: &Path,
        object: &Json,
        old: Option<&Json>,
        correlation: Correlation<'_>,
    ) -> Result<(), Ended> {
        if rules.compiled.is_empty() {
            return Ok(());
        }
        if self.budget == 0 {
            self.invalid(path, rules, OUT_OF_BUDGET);
            return Err(Ended);
        }
        for (text, compiled) in &rules.compiled {
            if let Some(error) = &compiled.error {
                self.invalid(path, rules, format!("rule compile error: {error}"));
                continue;
            }
            let Some(program) = &compiled.program else { continue };
            let optional = text.optional_old_self == Some(true);
            // Rules about a change need something to compare with.
            if compiled.uses_old_self && old.is_none() && !optional {
                continue;
            }
            let scope = Scope { rules, object, old, optional };
            let Outcome { result, cost } = program.eval(&scope);
            self.pay(cost, path, rules)?;
            match result {
                Ok(Value::Bool(true)) => {}
                Ok(_) => {
                    let scope = Scope { optional: false, ..scope };
                    self.refuse(rules, path, object, (text, compiled), &scope, correlation)?;
                }
                Err(error) => self.failed(path, rules, text, &error)?,
            }
        }
        Ok(())
    }

    fn pay(&mut self, cost: u64, path: &Path, rules: &Rules) -> Result<(), Ended> {
        match self.budget.checked_sub(cost) {
            Some(rest) => {
                self.budget = rest;
                Ok(())
            }
            None => {
                self.invalid(path, rules, OUT_OF_BUDGET);
                Err(Ended)
            }
        }
    }

    fn failed(&mut self, path: &Path, rules: &Rules, text: &Text, error: &Error) -> Result<(), Ended> {
        let (error, rule) = (error.to_string(), text.shown());
        if error.starts_with("no such overload") {
            self.invalid(
                path,
                rules,
                format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {rule}"
                ),
            );
        } else if error.starts_with("operation cancelled: actual cost limit exceeded") {
            let why = format!(
                "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule}"
            );
            self.invalid(path, rules, why);
            return Err(Ended);
        } else {
            self.invalid(path, rules, format!("{error} evaluating rule: {rule}"));
        }
        Ok(())
    }

    /// The rule does not hold.
    fn refuse(
        &mut self,
        rules: &Rules,
        path: &Path,
        object: &Json,
        (text, compiled): (&Text, &Compiled),
        scope: &Scope<'_>,
        correlation: Correlation<'_>,
    ) -> Result<(), Ended> {
        let path = match compiled.field_path.as_deref() {
            Some(below) if !below.is_empty() => path.child(below),
            _ => path.clone(),
        };
        let mut ended = Ok(());
        let detail = match compiled.message.as_ref().map(|message| self.message(message, text, scope)) {
            Some(Ok(message)) => Some(message),
            Some(Err(Some(fatal))) => {
                ended = Err(Ended);
                Some(fatal)
            }
            Some(Err(None)) | None => None,
        };
        let error = match (ended.is_err(), detail) {
            (true, Some(fatal)) => FieldError::invalid(&shown(&path), rules.kind.as_str(), fatal),
            (_, detail) => {
                let plain = || match text.message.trim() {
                    _ if text.message.is_empty() => format!("failed rule: {}", text.shown()),
                    message => message.to_owned(),
                };
                reasoned(&shown(&path), rules, object, text.reason.as_deref(), detail.unwrap_or_else(plain))
            }
        };
        if !compiled.uses_old_self && correlation.is_unchanged() {
            self.verdict.let_be.push(error);
        } else {
            self.verdict.errors.push(error);
        }
        ended
    }

    /// What `messageExpression` says. It is passed over when it fails; when it costs too much that is said, and nothing more checked.
    fn message(&mut self, program: &cel::Program, text: &Text, scope: &Scope<'_>) -> Result<String, Option<String>> {
        let Outcome { result, cost } = program.eval(scope);
        let Some(rest) = self.budget.checked_sub(cost) else {
            return Err(Some(
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
                    .to_owned(),
            ));
        };
        if result.as_ref().is_err_and(|error| matches!(error, Error::CostLimit)) {
            return Err(Some(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                api::field::go_quoted(&text.message_expression)
            )));
        }
        self.budget = rest;
        let message = result.ok().as_ref().and_then(Value::as_str).map(|message| message.trim().to_owned());
        match message {
            Some(message) if !message.is_empty() && message.len() <= MAX_MESSAGE && !message.contains('\n') => {
                Ok(message)
            }
            _ => Err(None),
        }
    }
}

/// Upstream prints the path that is none.
fn shown(path: &Path) -> Path {
    if path.as_str().is_empty() { Path::new("<nil>") } else { path.clone() }
}

fn reasoned(path: &Path, rules: &Rules, object: &Json, reason: Option<&str>, detail: String) -> FieldError {
    let hidden = matches!(rules.kind.as_str(), "object" | "array");
    match reason {
        Some("FieldValueForbidden") => FieldError::forbidden(path, detail),
        Some("FieldValueRequired") => FieldError::required(path, detail),
        Some("FieldValueDuplicate") => FieldError {
            kind: if hidden { ErrorKind::DuplicateHidden } else { ErrorKind::Duplicate },
            path: path.clone(),
            value: object.clone(),
            detail: String::new(),
        },
        _ if hidden => FieldError::invalid_hidden(path, detail),
        _ => FieldError::invalid(path, object.clone(), detail),
    }
}
