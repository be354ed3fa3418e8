//! Computing expressions of admission for one request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::environment::Compiled;
use crate::error::Error;
use crate::eval::{Outcome, Variables};
use crate::value::Value;

/// What the variables of an expression are. Null is what is not there.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'v> {
    pub object: &'v Json,
    pub old_object: &'v Json,
    pub params: &'v Json,
    pub request: &'v Json,
    pub namespace: &'v Json,
    /// `authorizer` and `authorizer.requestResource`.
    pub authorizer: Option<&'v (Value<'v>, Value<'v>)>,
}

/// A variable that a policy defines.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    pub expression: Compiled,
}

/// What an expression came to, or why it has no value.
pub type Computed<'v> = Result<Value<'v>, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("validation failed due to running out of cost budget, no further validation rules will be run")]
pub struct OutOfBudget;

/// Variables of a policy are computed when an expression comes to them, and once for all expressions of the activation.
pub struct Activation<'v> {
    inputs: Inputs<'v>,
    variables: &'v [Variable],
    /// `None` while it is being computed.
    known: RefCell<BTreeMap<&'v str, Option<Result<Value<'v>, Error>>>>,
    /// What variables have cost since it was last asked.
    spent: Cell<u64>,
}

impl<'v> Activation<'v> {
    /// `variables` are in the order in which they are defined; of several with one name the last one counts.
    pub fn new(inputs: Inputs<'v>, variables: &'v [Variable]) -> Self {
        Self { inputs, variables, known: RefCell::default(), spent: Cell::new(0) }
    }

    /// Takes what it costs from the budget.
    ///
    /// # Errors
    /// It costs more than is left.
    pub fn evaluate(&self, expression: &Compiled, budget: &mut u64) -> Result<Computed<'v>, OutOfBudget> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(why) => return Ok(Err(format!("compilation error: {why}"))),
        };
        let Outcome { result, cost } = program.eval(self);
        for cost in [self.spent.take(), cost] {
            *budget = budget.checked_sub(cost).ok_or(OutOfBudget)?;
        }
        Ok(result.map_err(|error| format!("expression '{}' resulted in error: {error}", expression.source)))
    }

    fn variable(&self, variable: &'v Variable) -> Result<Value<'v>, Error> {
        let name = variable.name.as_str();
        if let Some(known) = self.known.borrow().get(name) {
            let itself = || Err(Error::new(format!("composited variable {name:?} refers to itself")));
            return known.clone().unwrap_or_else(itself);
        }
        self.known.borrow_mut().insert(name, None);
        let value = match &variable.expression.program {
            Ok(program) => {
                let Outcome { result, cost } = program.eval(self);
                self.spent.set(self.spent.get().saturating_add(cost));
                result.map_err(|error| Error::new(format!("composited variable {name:?} fails to evaluate: {error}")))
            }
            Err(why) => Err(Error::new(format!("composited variable {name:?} fails to compile: {why}"))),
        };
        self.known.borrow_mut().insert(name, Some(value.clone()));
        value
    }
}

impl<'v> Variables<'v> for Activation<'v> {
    fn get(&self, name: &str) -> Option<Result<Value<'v>, Error>> {
        let inputs = &self.inputs;
        let json = match name {
            "object" => inputs.object,
            "oldObject" => inputs.old_object,
            "params" => inputs.params,
            "request" => inputs.request,
            "namespaceObject" => inputs.namespace,
            "authorizer" => return inputs.authorizer.map(|(authorizer, _)| Ok(authorizer.clone())),
            "authorizer.requestResource" => return inputs.authorizer.map(|(_, resource)| Ok(resource.clone())),
            _ => return None,
        };
        Some(Ok(Value::from_json(json)))
    }

    fn field(&self, name: &str, field: &str) -> Option<Result<Value<'v>, Error>> {
        if name != "variables" {
            return None;
        }
        let variable = self.variables.iter().rfind(|variable| variable.name == field)?;
        Some(self.variable(variable))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{BUDGET, Declared, Environment};
    use super::*;

    const DECLARED: Declared = Declared { params: true, authorizer: false, patches: false };

    fn variables(environment: &mut Environment, all: &[(&str, &str)]) -> Vec<Variable> {
        let one = |(name, source): &(&str, &str)| {
            let expression = environment.compile(source, DECLARED, &[]);
            environment.define(name, &expression.output);
            Variable { name: (*name).to_owned(), expression }
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn variables_are_computed_when_they_are_needed() {
        let (object, request) = (json!({"spec": {"replicas": 3}}), json!({"operation": "CREATE"}));
        let inputs = Inputs {
            object: &object,
            old_object: &Json::Null,
            params: &Json::Null,
            request: &request,
            namespace: &Json::Null,
            authorizer: None,
        };
        let mut environment = Environment::composed();
        let variables = variables(
            &mut environment,
            &[
                ("replicas", "object.spec.replicas"),
                ("odd", "variables.replicas % 2 == 1"),
                ("wrong", "object.none"),
                ("ill", "1 +"),
            ],
        );
        let table = [
            ("variables.odd && variables.replicas > 1", Ok("true")),
            ("params == null && oldObject == null", Ok("true")),
            ("request.operation == 'UPDATE'", Ok("false")),
            ("has(variables.odd)", Ok("true")),
            (
                "variables.wrong == 1",
                Err(
                    "expression 'variables.wrong == 1' resulted in error: composited variable \"wrong\" fails to evaluate: \
                     no such key: none",
                ),
            ),
            ("object.a == 1", Err("expression 'object.a == 1' resulted in error: no such key: a")),
        ];
        for (source, expected) in table {
            let activation = Activation::new(inputs, &variables);
            let compiled = environment.compile(source, DECLARED, &[]);
            let mut budget = BUDGET;
            let computed = activation.evaluate(&compiled, &mut budget).unwrap();
            let shown = computed.map(|value| matches!(value, Value::Bool(true)).to_string());
            assert_eq!(shown, expected.map(str::to_owned).map_err(str::to_owned), "{source}");
            assert!(budget < BUDGET, "{source}");
            assert_eq!(activation.evaluate(&compiled, &mut 0).err(), Some(OutOfBudget), "{source}");
        }
        let ill = Activation::new(inputs, &variables);
        let compiled = environment.compile("variables.ill == 1", DECLARED, &[]);
        let said = ill.evaluate(&compiled, &mut { BUDGET }).unwrap().unwrap_err();
        assert!(
            said.contains("composited variable \"ill\" fails to compile: compilation failed: ERROR: <input>"),
            "{said}"
        );
    }
}
