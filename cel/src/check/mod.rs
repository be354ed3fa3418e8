//! Which types an expression has (`checker/checker.go`). `unify` says which types go together, `literals` what is wrong with parts
//! that are written down.

mod checker;
mod literals;
mod unify;

use std::collections::BTreeSet;

use crate::library::Overload;
use crate::syntax::{Expr, Tree};
use crate::types::Type;

pub(crate) use checker::check;

/// An expression whose types fit.
#[derive(Clone, Debug)]
pub struct Checked {
    pub(crate) root: Expr,
    types: Vec<Type>,
    /// By the number of a call: what it may be.
    calls: Vec<Vec<&'static Overload>>,
    /// Variables that it reads.
    variables: BTreeSet<String>,
}

impl Checked {
    fn new(tree: &Tree) -> Self {
        let nodes = tree.places.len();
        let (types, calls) = (vec![Type::Error; nodes], vec![Vec::new(); nodes]);
        Self { root: tree.root.clone(), types, calls, variables: BTreeSet::new() }
    }

    pub fn type_of(&self, expr: &Expr) -> &Type {
        self.types.get(expr.id as usize).unwrap_or(&Type::Error)
    }

    /// The type of the whole.
    pub fn output(&self) -> &Type {
        self.type_of(&self.root)
    }

    /// Whether a variable is read.
    pub fn reads(&self, variable: &str) -> bool {
        self.variables.contains(variable)
    }

    /// Whether it looks at a field of a variable anywhere: `variable.field`, `variable.?field`.
    pub fn selects(&self, variable: &str, field: &str) -> bool {
        self.root.selects(variable, field)
    }

    pub(crate) fn overloads(&self, call: &Expr) -> &[&'static Overload] {
        self.calls.get(call.id as usize).map(Vec::as_slice).unwrap_or_default()
    }
}
