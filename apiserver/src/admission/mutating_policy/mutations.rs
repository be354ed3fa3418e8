//! The expressions of one policy: what a mutation comes to for one request, with one parameter.

use api::patch::json::{Patch as JsonPatch, UNCHECKED};
use cel::admission::{Activation, BUDGET, Compiled, Declared, Environment, Inputs, Variable};
use cel::patch::{JSON_PATCH, OBJECT};
use cel::{Type, Value};
use serde_json::{Value as Json, json};

use crate::admission::conditions;
use crate::admission::policy::evaluator::variables;
use crate::admission::policy::object::Expressions;

/// A policy whose expressions are compiled.
#[derive(Debug)]
pub struct Mutations {
    pub variables: Vec<Variable>,
    pub conditions: Vec<Compiled>,
    pub mutations: Vec<Mutation>,
    /// It is asked again when others change what it has seen.
    pub asked_again: bool,
}

#[derive(Debug)]
pub struct Mutation {
    expression: Compiled,
    made: Made,
}

/// What an expression makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// What the object should have.
    Configuration,
    /// Operations on it.
    Patch,
}

/// What an expression has made.
#[derive(Debug)]
pub enum Patch {
    Configuration(Json),
    Json(JsonPatch),
}

impl Made {
    /// The type that the expression must come to.
    pub fn wanted(self) -> Type {
        match self {
            Self::Configuration => Type::object(OBJECT),
            Self::Patch => Type::list(Type::object(JSON_PATCH)),
        }
    }
}

impl Expressions for Mutations {
    const POLICIES: &'static str = "admissionregistration.k8s.io/mutatingadmissionpolicies";
    const BINDINGS: &'static str = "admissionregistration.k8s.io/mutatingadmissionpolicybindings";

    fn compile(spec: &Json) -> Self {
        let declared = Declared { params: spec["paramKind"].is_object(), authorizer: true, patches: false };
        let mut environment = Environment::composed();
        let variables = variables(spec, &mut environment, declared);
        let mutation = |mutation: &Json| {
            let (key, made) = match mutation["patchType"].as_str()? {
                "ApplyConfiguration" => ("applyConfiguration", Made::Configuration),
                "JSONPatch" => ("jsonPatch", Made::Patch),
                _ => return None,
            };
            let source = mutation[key]["expression"].as_str()?;
            let declared = Declared { patches: true, ..declared };
            Some(Mutation { expression: environment.compile(source, declared, &[made.wanted()]), made })
        };
        Self {
            conditions: conditions::compile(&spec["matchConditions"], &environment, declared),
            mutations: spec["mutations"].as_array().into_iter().flatten().filter_map(mutation).collect(),
            variables,
            asked_again: spec["reinvocationPolicy"] == "IfNeeded",
        }
    }
}

impl Mutations {
    /// # Errors
    /// Why there is none, in upstream's words.
    pub fn evaluate(&self, mutation: &Mutation, inputs: Inputs<'_>) -> Result<Patch, String> {
        if let Err(why) = &mutation.expression.program {
            return Err(why.clone());
        }
        let activation = Activation::new(inputs, &self.variables);
        let value = activation.evaluate(&mutation.expression, &mut { BUDGET });
        let value = value.map_err(|spent| spent.to_string())??;
        match mutation.made {
            Made::Configuration => {
                well_named(&value)?;
                if let Some((path, printed)) = value.foreign() {
                    let why = format!("{path}: expected map, got &{{{printed}}}");
                    return Err(format!("error applying patch: failed to convert patch object to typed object: {why}"));
                }
                let configuration =
                    value.to_json().map_err(|_| "invalid return type: *dynamic.ObjectVal".to_owned())?;
                Ok(Patch::Configuration(configuration))
            }
            Made::Patch => operations(&value).map(Patch::Json),
        }
    }
}

fn well_named(value: &Value<'_>) -> Result<(), String> {
    let wrong = value.misnamed();
    if wrong.is_empty() { Ok(()) } else { Err(format!("type mismatch: {}", wrong.join("\n"))) }
}

fn operations(value: &Value<'_>) -> Result<JsonPatch, String> {
    let Value::List(list) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut operations = Vec::with_capacity(list.len());
    for operation in list.iter() {
        let operation = operation.map_err(|error| error.to_string())?;
        let member = |name: &str| match &operation {
            Value::Struct(_, members) => {
                members.iter().find(|(key, _)| key.value().as_str() == Some(name)).map(|(_, value)| value.clone())
            }
            _ => None,
        };
        let text = |name: &str| member(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        let mut out = json!({"op": text("op"), "path": text("path")});
        let from = text("from");
        if !from.is_empty() {
            out["from"] = from.into();
        }
        if let Some(value) = member("value") {
            well_named(&value)?;
            out["value"] = value.to_json().map_err(|why| {
                format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}")
            })?;
        }
        operations.push(out);
    }
    JsonPatch::decode(Json::Array(operations), &UNCHECKED).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: &str, source: &str) -> Result<Json, String> {
        let key = if kind == "JSONPatch" { "jsonPatch" } else { "applyConfiguration" };
        let spec = json!({
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "variables": [{"name": "n", "expression": "object.spec.n + 1"}],
            "mutations": [{"patchType": kind, key: {"expression": source}}],
        });
        let (object, params, request) = (json!({"spec": {"n": 1}}), json!({"data": {"a": "b"}}), json!({}));
        let none = Json::Null;
        let inputs = Inputs {
            object: &object,
            old_object: &none,
            params: &params,
            request: &request,
            namespace: &none,
            authorizer: None,
        };
        let mutations = Mutations::compile(&spec);
        match mutations.evaluate(&mutations.mutations[0], inputs)? {
            Patch::Configuration(configuration) => Ok(configuration),
            Patch::Json(operations) => {
                let mut object = object.clone();
                operations.apply(&mut object).map_err(|error| error.to_string())?;
                Ok(object)
            }
        }
    }

    #[test]
    fn mutations_come_to_patches() {
        let table = [
            ("ApplyConfiguration", "Object{spec: Object.spec{n: variables.n}}", Ok(json!({"spec": {"n": 2}}))),
            ("ApplyConfiguration", "Object{data: params.data}", Ok(json!({"data": {"a": "b"}}))),
            (
                "ApplyConfiguration",
                "Object{spec: Object.data{}}",
                Err(
                    "type mismatch: unexpected type name \"Object.data\", expected \"Object.spec\", which matches field name path \
                     from root Object type",
                ),
            ),
            ("ApplyConfiguration", "Object{data: {1: 'a'}}", Err("invalid return type: *dynamic.ObjectVal")),
            (
                "ApplyConfiguration",
                "Object{data: null}",
                Err(
                    "error applying patch: failed to convert patch object to typed object: .data: expected map, got &{NULL_VALUE}",
                ),
            ),
            ("ApplyConfiguration", "1", Err("must evaluate to Object but got int")),
            (
                "ApplyConfiguration",
                "Object{a: object.no}",
                Err("expression 'Object{a: object.no}' resulted in error: no such key: no"),
            ),
            (
                "JSONPatch",
                "[JSONPatch{op: 'replace', path: '/spec', value: Object.spec{n: 7}}, \
                 JSONPatch{op: 'copy', from: '/spec/n', path: '/m'}]",
                Ok(json!({"spec": {"n": 7}, "m": 7})),
            ),
            (
                "JSONPatch",
                "[JSONPatch{op: 'add', path: '/x', value: Object.spec{n: Object.n{}}}]",
                Err(
                    "type mismatch: unexpected type name \"Object.n\", expected \"Object.spec.n\", which matches field name path \
                     from root Object type",
                ),
            ),
            ("JSONPatch", "[JSONPatch{op: 'no', path: '/x'}]", Err("Unexpected kind: no")),
        ];
        for (kind, source, expected) in table {
            assert_eq!(made(kind, source), expected.map_err(str::to_owned), "{source}");
        }
    }

    #[test]
    fn a_mutation_has_a_budget() {
        let loops = "[0,1,2,3,4,5,6,7,8,9].all(a, ".repeat(6);
        let source = format!("{loops}true{} ? Object{{}} : Object{{}}", ")".repeat(6));
        assert!(made("ApplyConfiguration", &source).unwrap_err().contains("cost limit"), "a call has a limit too");
    }
}
