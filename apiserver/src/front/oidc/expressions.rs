//! Expressions of a configuration, compiled: over the claims of a token, or over the user that they came to.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::schema::ObjectTypes;
use cel::{CALL_LIMIT, Checked, Env, Program, Type, Value};
use serde_json::Value as Json;

const USER: &str = "kubernetes.UserInfo";

/// What an expression is computed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Claims,
    User,
}

static CLAIMS: LazyLock<Env> =
    LazyLock::new(|| Env::kubernetes().variable("claims", Type::map(Type::String, Type::Any)));

static USERS: LazyLock<Env> = LazyLock::new(|| {
    let texts = || Type::list(Type::String);
    let fields = [
        ("username", Type::String),
        ("uid", Type::String),
        ("groups", texts()),
        ("extra", Type::map(Type::String, texts())),
    ];
    let fields = fields.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect();
    Env::kubernetes().types(ObjectTypes::from([(Arc::from(USER), fields)])).variable("user", Type::object(USER))
});

/// An expression that compiles.
#[derive(Debug)]
pub struct Expression {
    pub source: String,
    pub checked: Checked,
    program: Program,
    over: Over,
}

/// A rule, and what is said when it does not hold.
#[derive(Debug)]
pub struct Rule {
    pub expression: Expression,
    pub message: String,
}

/// All expressions of one authenticator.
#[derive(Debug, Default)]
pub struct Mapper {
    pub username: Option<Expression>,
    pub groups: Option<Expression>,
    pub uid: Option<Expression>,
    pub extra: Vec<(String, Expression)>,
    pub claim_rules: Vec<Rule>,
    pub user_rules: Vec<Rule>,
}

impl Expression {
    /// `wanted` is the type that it must have.
    ///
    /// # Errors
    /// In upstream's words.
    pub fn compile(source: &str, over: Over, wanted: Option<Type>) -> Result<Self, String> {
        let env = match over {
            Over::Claims => &*CLAIMS,
            Over::User => &*USERS,
        };
        let checked = env.compile(source).map_err(|issues| format!("compilation failed: {issues}"))?;
        if let Some(wanted) = wanted.filter(|wanted| checked.output() != wanted) {
            return Err(format!("must evaluate to {}", wanted.full_name()));
        }
        let program = Program::new(checked.clone(), CALL_LIMIT);
        let program = program.map_err(|why| format!("program instantiation failed: {why}"))?;
        Ok(Self { source: source.to_owned(), checked, program, over })
    }

    /// # Errors
    /// It comes to none.
    pub fn eval<'v>(&self, data: &'v Json) -> Result<Value<'v>, String> {
        let name = match self.over {
            Over::Claims => "claims",
            Over::User => "user",
        };
        let variables = BTreeMap::from([(name, Value::from_json(data))]);
        self.program
            .eval(&variables)
            .result
            .map_err(|error| format!("expression '{}' resulted in error: {error}", self.source))
    }
}
