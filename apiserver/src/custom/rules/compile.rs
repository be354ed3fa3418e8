//! Programs of rules, and what is wrong with their texts.

use cel::cost::estimate;
use cel::schema::{Declaration, MAX_REQUEST};
use cel::{CALL_LIMIT, Checked, Env, Program, Type};
use serde_json::Value;

use super::field_path;

/// A rule as the definition has it.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    pub reason: Option<String>,
    pub field_path: String,
    pub optional_old_self: Option<bool>,
}

impl Text {
    /// All rules of a node.
    pub fn all(schema: &Value) -> Vec<Self> {
        schema["x-kubernetes-validations"].as_array().into_iter().flatten().map(Self::read).collect()
    }

    fn read(rule: &Value) -> Self {
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        Self {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: rule["reason"].as_str().map(str::to_owned),
            field_path: text("fieldPath"),
            optional_old_self: rule["optionalOldSelf"].as_bool(),
        }
    }

    /// How messages call it.
    pub fn shown(&self) -> &str {
        if self.message.is_empty() { self.rule.trim() } else { self.message.trim() }
    }
}

/// A rule that is compiled.
#[derive(Debug, Default)]
pub struct Compiled {
    /// `None` when the text is empty or wrong.
    pub program: Option<Program>,
    pub error: Option<String>,
    pub uses_old_self: bool,
    /// What it can cost.
    pub max_cost: u64,
    /// How often it may be computed for one object, when nothing bounds the lists and maps around it.
    pub max_count: u64,
    pub message: Option<Program>,
    pub message_error: Option<String>,
    pub message_max_cost: u64,
    /// Where an error belongs, below the node.
    pub field_path: Option<String>,
}

/// `schema` is the node of the definition that `declaration` is of.
pub fn compile(texts: &[Text], schema: &Value, declaration: &Declaration) -> Vec<Compiled> {
    let env = Env::kubernetes().types(declaration.types()).variable("self", declaration.ty.clone());
    let plain = env.clone().variable("oldSelf", declaration.ty.clone());
    let optional = env.variable("oldSelf", Type::optional(declaration.ty.clone()));
    let one = |text: &Text| {
        let env = if text.optional_old_self == Some(true) { &optional } else { &plain };
        rule(text, schema, declaration, env)
    };
    texts.iter().map(one).collect()
}

fn rule(text: &Text, schema: &Value, declaration: &Declaration, env: &Env) -> Compiled {
    let mut compiled = Compiled::default();
    if text.rule.trim().is_empty() {
        return compiled;
    }
    let checked = match expression(env, &text.rule, "", "cel expression must evaluate to a bool", &Type::Bool) {
        Ok(checked) => checked,
        Err(why) => {
            compiled.error = Some(why);
            return compiled;
        }
    };
    compiled.uses_old_self = checked.reads("oldSelf");
    let max_cost = estimate(&checked, declaration).max;
    match Program::new(checked, CALL_LIMIT) {
        Ok(program) => compiled.program = Some(program),
        Err(why) => {
            compiled.error = Some(format!("program instantiation failed: {why}"));
            return compiled;
        }
    }
    compiled.max_cost = max_cost;
    // Elements have a comma between them.
    compiled.max_count = u64::try_from(MAX_REQUEST / (declaration.min_size + 1)).unwrap_or_default();
    if !text.message_expression.is_empty() {
        message(text, declaration, env, &mut compiled);
        if compiled.message_error.is_some() {
            return compiled;
        }
    }
    if !text.field_path.is_empty() {
        compiled.field_path = field_path::read(&text.field_path, schema).ok();
    }
    compiled
}

fn message(text: &Text, declaration: &Declaration, env: &Env, compiled: &mut Compiled) {
    let wrong_type = "messageExpression must evaluate to a string";
    let checked = expression(env, &text.message_expression, "messageExpression ", wrong_type, &Type::String);
    let made = checked.and_then(|checked| {
        let max_cost = estimate(&checked, declaration).max;
        let program = Program::new(checked, CALL_LIMIT);
        program
            .map(|program| (program, max_cost))
            .map_err(|why| format!("messageExpression instantiation failed: {why}"))
    });
    match made {
        Ok((program, max_cost)) => (compiled.message, compiled.message_max_cost) = (Some(program), max_cost),
        Err(why) => compiled.message_error = Some(why),
    }
}

fn expression(env: &Env, source: &str, what: &str, wrong_type: &str, wanted: &Type) -> Result<Checked, String> {
    let checked = env.compile(source).map_err(|issues| format!("{what}compilation failed: {issues}"))?;
    if checked.output() == wanted { Ok(checked) } else { Err(wrong_type.to_owned()) }
}
