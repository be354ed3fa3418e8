//! What a policy says about one request, with one parameter.

use api::status::Reason;
use cel::admission::{
    Activation, BUDGET, Compiled, Computed, Declared, Environment, Inputs, MAX_MESSAGE, OutOfBudget, Variable,
};
use cel::{Type, Value};
use serde_json::Value as Json;

use super::object::Expressions;
use crate::admission::conditions;

/// A policy whose expressions are compiled.
#[derive(Debug)]
pub struct Evaluator {
    variables: Vec<Variable>,
    conditions: Vec<Compiled>,
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
}

#[derive(Debug)]
struct Validation {
    expression: Compiled,
    message: String,
    message_expression: Option<Compiled>,
    reason: Reason,
}

#[derive(Debug)]
struct Annotation {
    key: String,
    value: Compiled,
}

/// What came of it: refusals in the order of the validations, and annotations for the audit log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub refusals: Vec<Refusal>,
    /// Refusals that no action of a binding mitigates.
    pub errors: Vec<Refusal>,
    pub annotations: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of the validation; 0 for what is of none.
    pub index: usize,
    pub message: String,
    pub reason: Reason,
}

impl Refusal {
    fn failed(index: usize, message: impl Into<String>) -> Self {
        Self { index, message: message.into(), reason: Reason::Invalid }
    }
}

impl Refusal {
    /// What metrics call it.
    pub fn error_type(&self) -> &'static str {
        match self.message.as_str() {
            message if message.starts_with("compilation") => "compile_error",
            message if message.starts_with("validation failed due to running out of cost budget") => "out_of_budget",
            message if message.starts_with("expression '") && message.contains("' resulted in error: ") => {
                "invalid_error"
            }
            _ => "no_error",
        }
    }
}

/// What expressions are computed for. Match conditions see no namespace.
#[derive(Clone, Copy, Debug)]
pub struct Request<'v> {
    pub inputs: Inputs<'v>,
    pub of_conditions: Inputs<'v>,
}

pub const BOOL: &[Type] = &[Type::Bool];
pub const TEXT: &[Type] = &[Type::String];
pub const TEXT_OR_NULL: &[Type] = &[Type::String, Type::Null];

/// What the reasons of validations are called.
fn reason(name: Option<&str>) -> Reason {
    match name {
        Some("Unauthorized") => Reason::Unauthorized,
        Some("Forbidden") => Reason::Forbidden,
        Some("RequestEntityTooLarge") => Reason::RequestEntityTooLarge,
        _ => Reason::Invalid,
    }
}

impl Expressions for Evaluator {
    const POLICIES: &'static str = "admissionregistration.k8s.io/validatingadmissionpolicies";
    const BINDINGS: &'static str = "admissionregistration.k8s.io/validatingadmissionpolicybindings";

    fn compile(spec: &Json) -> Self {
        let declared = Declared { params: spec["paramKind"].is_object(), authorizer: true, patches: false };
        let of_message = Declared { authorizer: false, ..declared };
        let text = |value: &Json, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let items = |key: &str| spec[key].as_array().into_iter().flatten();
        let mut environment = Environment::composed();
        let variables = variables(spec, &mut environment, declared);
        let validation = |validation: &Json| Validation {
            expression: environment.compile(&text(validation, "expression"), declared, BOOL),
            message: text(validation, "message"),
            message_expression: validation["messageExpression"]
                .as_str()
                .filter(|source| !source.is_empty())
                .map(|source| environment.compile(source, of_message, TEXT)),
            reason: reason(validation["reason"].as_str()),
        };
        let annotation = |annotation: &Json| Annotation {
            key: text(annotation, "key"),
            value: environment.compile(&text(annotation, "valueExpression"), declared, TEXT_OR_NULL),
        };
        Self {
            conditions: conditions::compile(&spec["matchConditions"], &environment, declared),
            validations: items("validations").map(validation).collect(),
            annotations: items("auditAnnotations").map(annotation).collect(),
            variables,
        }
    }
}

/// The variables of the `spec` of a policy, which the environment knows from then on.
pub fn variables(spec: &Json, environment: &mut Environment, declared: Declared) -> Vec<Variable> {
    let text = |value: &Json, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut variables = Vec::new();
    for variable in spec["variables"].as_array().into_iter().flatten() {
        let name = text(variable, "name");
        let expression = environment.compile(&text(variable, "expression"), declared, &[]);
        environment.define(&name, &expression.output);
        variables.push(Variable { name, expression });
    }
    variables
}

impl Evaluator {
    /// `fails`: what cannot be computed refuses the request.
    pub fn evaluate(&self, request: &Request<'_>, fails: bool) -> Verdict {
        let failed = |message: String| Verdict {
            refusals: if fails { vec![Refusal::failed(0, message)] } else { Vec::new() },
            ..Verdict::default()
        };
        if !self.conditions.is_empty() {
            match conditions::hold(&self.conditions, request.of_conditions, &self.variables, fails) {
                Ok(true) => {}
                Ok(false) => return Verdict::default(),
                Err(why) => return failed(why),
            }
        }
        let mut verdict = Verdict::default();
        match self.validate(request.inputs, fails) {
            Ok(refusals) => verdict.refusals = refusals,
            Err(spent) => return failed(spent.to_string()),
        }
        if let Err(spent) = self.annotate(request.inputs, fails, &mut verdict) {
            return failed(spent.to_string());
        }
        verdict
    }

    fn validate(&self, inputs: Inputs<'_>, fails: bool) -> Result<Vec<Refusal>, OutOfBudget> {
        let mut budget = BUDGET;
        let activation = Activation::new(inputs, &self.variables);
        let mut outcomes = Vec::with_capacity(self.validations.len());
        for validation in &self.validations {
            outcomes.push(activation.evaluate(&validation.expression, &mut budget)?);
        }
        let messages = self.messages(inputs, budget, &outcomes);
        let mut refusals = Vec::new();
        for (index, (validation, outcome)) in self.validations.iter().zip(outcomes).enumerate() {
            match (outcome, &messages) {
                (Err(why), _) if fails => refusals.push(Refusal::failed(index, why)),
                (Ok(_), Err(spent)) if fails => {
                    refusals.push(Refusal::failed(index, format!("failed messageExpression: {spent}")));
                }
                (Err(_), _) | (Ok(_), Err(_)) | (Ok(Value::Bool(true)), Ok(_)) => {}
                (Ok(_), Ok(messages)) => {
                    let made = messages.get(index).and_then(Option::as_deref);
                    let message = made.map_or_else(|| validation.plain_message(), str::to_owned);
                    refusals.push(Refusal { index, message, reason: validation.reason });
                }
            }
        }
        Ok(refusals)
    }

    /// What message expressions say, by validation. They are paid from what the validations left.
    fn messages(
        &self,
        inputs: Inputs<'_>,
        mut budget: u64,
        outcomes: &[Computed<'_>],
    ) -> Result<Vec<Option<String>>, OutOfBudget> {
        // Nobody is told anything, and what they cost cannot be too much.
        let worst = (self.validations.len() + self.variables.len()) as u64 * cel::CALL_LIMIT;
        let all_hold = outcomes.iter().all(|outcome| matches!(outcome, Ok(Value::Bool(true))));
        if all_hold && worst <= budget {
            return Ok(Vec::new());
        }
        let activation = Activation::new(Inputs { authorizer: None, ..inputs }, &self.variables);
        let mut messages = Vec::with_capacity(self.validations.len());
        for validation in &self.validations {
            let Some(expression) = &validation.message_expression else {
                messages.push(None);
                continue;
            };
            let said = activation.evaluate(expression, &mut budget)?;
            let said = said.ok().and_then(|value| value.as_str().map(|text| text.trim().to_owned()));
            let fits = |text: &String| !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
            messages.push(said.filter(fits));
        }
        Ok(messages)
    }

    fn annotate(&self, inputs: Inputs<'_>, fails: bool, verdict: &mut Verdict) -> Result<(), OutOfBudget> {
        let mut budget = BUDGET;
        let activation = Activation::new(inputs, &self.variables);
        for (index, annotation) in self.annotations.iter().enumerate() {
            match activation.evaluate(&annotation.value, &mut budget)? {
                Ok(value) => {
                    let text = value.as_str().unwrap_or_default().trim();
                    if !text.is_empty() {
                        verdict.annotations.push((annotation.key.clone(), text.to_owned()));
                    }
                }
                Err(why) if fails => verdict.errors.push(Refusal::failed(index, why)),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Validation {
    fn plain_message(&self) -> String {
        match self.message.trim() {
            "" => format!("failed expression: {}", self.expression.source.trim()),
            message => message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evaluate(spec: &Json, object: &Json, params: &Json) -> Verdict {
        let (request, none) = (json!({"operation": "CREATE"}), Json::Null);
        let inputs =
            Inputs { object, old_object: &none, params, request: &request, namespace: &none, authorizer: None };
        Evaluator::compile(spec).evaluate(&Request { inputs, of_conditions: inputs }, spec["failurePolicy"] != "Ignore")
    }

    fn said(verdict: &Verdict) -> Vec<String> {
        let all = verdict.refusals.iter().chain(&verdict.errors);
        all.map(|refusal| format!("{} {}", refusal.reason.as_str(), refusal.message)).collect()
    }

    #[test]
    fn refusals_say_why() {
        let object = json!({"spec": {"replicas": 5}});
        let wrong = "expression 'object.no == 1' resulted in error: no such key: no";
        let table = [
            ("holds", json!([{"expression": "object.spec.replicas == 5"}]), vec![]),
            (
                "a message of its own",
                json!([{"expression": "false", "message": " no ", "reason": "Forbidden"}]),
                vec!["Forbidden no".to_owned()],
            ),
            (
                "the expression",
                json!([{"expression": " object.spec.replicas < 5 "}]),
                vec!["Invalid failed expression: object.spec.replicas < 5".to_owned()],
            ),
            (
                "a message that is computed",
                json!([{"expression": "false", "messageExpression": "'has ' + string(object.spec.replicas)"}]),
                vec!["Invalid has 5".to_owned()],
            ),
            (
                "a message that cannot be computed",
                json!([{"expression": "false", "message": "plain", "messageExpression": "string(object.no)"}]),
                vec!["Invalid plain".to_owned()],
            ),
            (
                "what fails, and another",
                json!([{"expression": "object.no == 1"}, {"expression": "variables.many"}]),
                vec![format!("Invalid {wrong}"), "Invalid failed expression: variables.many".to_owned()],
            ),
        ];
        for (name, validations, expected) in table {
            let variables = json!([{"name": "many", "expression": "object.spec.replicas > 9"}]);
            let mut spec = json!({"validations": validations, "variables": variables});
            assert_eq!(said(&evaluate(&spec, &object, &Json::Null)), expected, "{name}");
            spec["failurePolicy"] = "Ignore".into();
            let ignoring: Vec<String> = expected.into_iter().filter(|text| !text.contains(wrong)).collect();
            assert_eq!(said(&evaluate(&spec, &object, &Json::Null)), ignoring, "{name}, ignoring");
        }
    }

    #[test]
    fn conditions_parameters_and_annotations() {
        let spec = json!({
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConditions": [{"name": "x", "expression": "object.kind == 'Pod'"}],
            "validations": [{"expression": "object.size <= int(params.data.max)"}],
            "auditAnnotations": [
                {"key": "size", "valueExpression": "'size ' + string(object.size)"},
                {"key": "none", "valueExpression": "null"},
                {"key": "wrong", "valueExpression": "string(object.no)"},
            ],
        });
        let params = json!({"data": {"max": "3"}});
        assert_eq!(evaluate(&spec, &json!({"kind": "Node"}), &params), Verdict::default());
        let verdict = evaluate(&spec, &json!({"kind": "Pod", "size": 4}), &params);
        let expected = [
            "Invalid failed expression: object.size <= int(params.data.max)",
            "Invalid expression 'string(object.no)' resulted in error: no such key: no",
        ];
        assert_eq!(said(&verdict), expected);
        assert_eq!(verdict.annotations, [("size".to_owned(), "size 4".to_owned())]);
    }

    #[test]
    fn a_policy_has_a_budget() {
        let expensive = "object.list.all(x, object.list.all(y, x + y >= 0))";
        let validations: Vec<Json> = (0..30).map(|_| json!({"expression": expensive})).collect();
        let spec = json!({"validations": validations});
        let spent =
            "Invalid validation failed due to running out of cost budget, no further validation rules will be run";
        assert_eq!(said(&evaluate(&spec, &json!({"list": vec![1; 10]}), &Json::Null)), [] as [&str; 0]);
        assert_eq!(said(&evaluate(&spec, &json!({"list": vec![1; 300]}), &Json::Null)), [spent]);
    }
}
