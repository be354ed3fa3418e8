//! Match conditions of policies and webhooks: expressions that must all hold
//! (`k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions`).

use cel::admission::{Activation, CONDITIONS_BUDGET, Compiled, Declared, Environment, Inputs, Variable};
use cel::{Type, Value};
use serde_json::Value as Json;

/// Compiles a list of MatchConditions.
pub fn compile(conditions: &Json, environment: &Environment, declared: Declared) -> Vec<Compiled> {
    let sources = conditions.as_array().into_iter().flatten();
    let sources = sources.map(|condition| condition["expression"].as_str().unwrap_or_default());
    sources.map(|source| environment.compile(source, declared, &[Type::Bool])).collect()
}

/// Whether all hold. One that does not hold decides, whatever fails beside it.
///
/// # Errors
/// What failed, unless failures are ignored (`fails` is false): then nothing matches.
pub fn hold(conditions: &[Compiled], inputs: Inputs<'_>, variables: &[Variable], fails: bool) -> Result<bool, String> {
    let activation = Activation::new(inputs, variables);
    let mut budget = CONDITIONS_BUDGET;
    let mut failed: Vec<String> = Vec::new();
    let mut differs = false;
    for condition in conditions {
        match activation.evaluate(condition, &mut budget) {
            Err(spent) if fails => return Err(spent.to_string()),
            Err(_) => return Ok(false),
            Ok(Err(why)) if failed.contains(&why) => {}
            Ok(Err(why)) => failed.push(why),
            Ok(Ok(value)) => differs |= matches!(value, Value::Bool(false)),
        }
    }
    match failed.as_slice() {
        _ if differs => Ok(false),
        [] => Ok(true),
        _ if !fails => Ok(false),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_that_does_not_hold_decides() {
        let object = json!({"a": 1});
        let none = Json::Null;
        let inputs = Inputs {
            object: &object,
            old_object: &none,
            params: &none,
            request: &none,
            namespace: &none,
            authorizer: None,
        };
        let failed = |source: &str, key: &str| format!("expression '{source}' resulted in error: no such key: {key}");
        let (b, c) = ("object.b == 1", "object.c == 1");
        let both = format!("[{}, {}]", failed(b, "b"), failed(c, "c"));
        let table = [
            (vec![], true, Ok(true)),
            (vec!["object.a == 1", "true"], true, Ok(true)),
            (vec!["object.a == 1", "false"], true, Ok(false)),
            (vec![b, "false"], true, Ok(false)),
            (vec![b, "true"], true, Err(failed(b, "b"))),
            (vec![b, c, b], true, Err(both)),
            (vec![b, "true"], false, Ok(false)),
        ];
        for (sources, fails, expected) in table {
            let list: Json = sources.iter().map(|source| json!({"name": "x", "expression": source})).collect();
            let compiled = compile(&list, &Environment::plain(), Declared::default());
            assert_eq!(hold(&compiled, inputs, &[], fails), expected, "{sources:?}");
        }
    }
}
