//! The expressions of admission policies and of match conditions, which must compile when they are written.

use cel::Type;
use cel::admission::{Declared, Environment};

use super::cursor::{Cursor, Errors};
pub use crate::admission::mutating_policy::Made;
use crate::admission::policy::evaluator::{BOOL, TEXT, TEXT_OR_NULL};

const NO_EXPRESSION: &str = "expression is not specified";
const MAX_ANNOTATION: usize = 5 * 1024;

/// Names that a variable cannot have.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Compiles the expressions of one policy, in the order in which variables come to be known.
pub struct Expressions {
    environment: Environment,
    declared: Declared,
}

impl Expressions {
    /// Of the `spec` of a policy.
    pub fn of(spec: &Cursor) -> Self {
        let has_variables = !spec.child("variables").is_empty();
        Self {
            environment: if has_variables { Environment::composed() } else { Environment::plain() },
            declared: Declared { params: spec.has("paramKind"), authorizer: true, patches: false },
        }
    }

    /// Of the `spec` of a MutatingAdmissionPolicy, which has variables even where it defines none.
    pub fn of_mutations(spec: &Cursor) -> Self {
        Self { environment: Environment::composed(), ..Self::of(spec) }
    }

    pub fn variable(&mut self, at: &Cursor, errors: &mut Errors) {
        let (name, expression) = (at.child("name"), at.child("expression"));
        if name.str().trim().is_empty() {
            errors.required_because(&name, "name is not specified");
        } else if !is_identifier(name.str()) {
            errors.invalid(&name, "must be a valid CEL identifier");
        }
        if expression.str().trim().is_empty() {
            errors.required_because(&expression, NO_EXPRESSION);
        } else {
            let compiled = self.environment.compile(expression.str(), self.declared, &[]);
            self.environment.define(name.str(), &compiled.output);
            if let Err(why) = compiled.program {
                errors.invalid(&expression, why);
            }
        }
    }

    pub fn validation(&self, at: &Cursor, errors: &mut Errors) {
        if at.text("expression").trim().is_empty() {
            errors.required_because(&at.child("expression"), NO_EXPRESSION);
        } else {
            self.compile(&at.child("expression"), at.text("expression"), self.declared, BOOL, errors);
        }
    }

    pub fn message(&self, at: &Cursor, errors: &mut Errors) {
        if !at.str().trim().is_empty() {
            self.compile(at, at.str(), Declared { authorizer: false, ..self.declared }, TEXT, errors);
        }
    }

    pub fn annotation(&self, at: &Cursor, errors: &mut Errors) {
        match at.str().trim() {
            "" => errors.required_because(at, "valueExpression is not specified"),
            text if text.len() > MAX_ANNOTATION => {
                errors.required_because(at, format!("must not exceed {MAX_ANNOTATION} bytes in length"));
            }
            text => self.compile(at, text, self.declared, TEXT_OR_NULL, errors),
        }
    }

    /// The expression of a mutation.
    pub fn mutation(&self, at: &Cursor, made: Made, errors: &mut Errors) {
        match at.str().trim() {
            "" => errors.required(at),
            source => {
                let declared = Declared { patches: true, ..self.declared };
                if let Err(why) = self.environment.compile(source, declared, &[made.wanted()]).program {
                    errors.invalid_as(at, source, why);
                }
            }
        }
    }

    fn compile(&self, at: &Cursor, source: &str, declared: Declared, wanted: &[Type], errors: &mut Errors) {
        if let Err(why) = self.environment.compile(source, declared, wanted).program {
            errors.invalid(at, why);
        }
    }
}

/// The expression of a match condition; `params`: it may use parameters.
pub fn condition(at: &Cursor, params: bool, errors: &mut Errors) {
    let source = at.str().trim();
    let declared = Declared { params, authorizer: true, patches: false };
    if let Err(why) = Environment::plain().compile(source, declared, BOOL).program {
        errors.invalid_as(at, source, why);
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&name)
}
