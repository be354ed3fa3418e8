//! What a walk through a value has found.

use serde_json::Value;

use crate::field::{ErrorKind, FieldError, Path};

/// `matches` counts checks that went well: of alternatives that all fail, the one with the most tells its errors.
#[derive(Debug, Default)]
pub(super) struct Found {
    problems: Vec<Problem>,
    pub matches: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Relative to the value that is checked; `None` for what upstream says about no field.
    pub path: Option<String>,
    pub kind: ErrorKind,
    pub value: Value,
    /// By which upstream tells problems apart; the detail where nothing else is said.
    pub message: String,
    pub detail: Option<String>,
}

impl Problem {
    pub fn invalid(path: &str, value: Value, message: String) -> Self {
        Self { path: Some(path.to_owned()), kind: ErrorKind::Invalid, value, message, detail: None }
    }

    /// About alternatives.
    pub fn composite(message: String) -> Self {
        Self { path: None, kind: ErrorKind::Invalid, value: "".into(), message, detail: None }
    }
}

impl Found {
    /// One check that went well.
    pub fn matched() -> Self {
        Self { matches: 1, ..Self::default() }
    }

    pub fn of(problem: Problem) -> Self {
        Self { problems: vec![problem], matches: 0 }
    }

    pub fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }

    pub fn add(&mut self, problem: Problem) {
        if !self.problems.iter().any(|own| own.message == problem.message) {
            self.problems.push(problem);
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        other.problems.into_iter().for_each(|problem| self.add(problem));
    }

    /// The value is as it was before: what is wrong is not this change's fault.
    pub fn forgiven(self) -> Self {
        Self { problems: Vec::new(), ..self }
    }

    pub fn errors(self, at: Option<&Path>) -> Vec<FieldError> {
        self.problems.into_iter().map(|problem| error(problem, at)).collect()
    }
}

fn error(problem: Problem, at: Option<&Path>) -> FieldError {
    let Problem { path, kind, value, message, detail } = problem;
    // Upstream prints the path that is none.
    let root = at.cloned();
    let path = match path {
        None => root.unwrap_or_else(|| Path::new("<nil>")),
        Some(path) => match path.strip_prefix('.').unwrap_or(&path) {
            "" => root.unwrap_or_else(|| Path::new("<nil>")),
            path => root.unwrap_or_default().child(path),
        },
    };
    FieldError { kind, path, value, detail: detail.unwrap_or(message) }
}
