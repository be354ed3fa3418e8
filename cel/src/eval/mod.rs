//! Computing: a [`Program`] is an expression whose constants are known (`fold`), `run` goes through it and counts what it costs
//! (`interpreter/interpretable.go`, `interpreter/attributes.go`).

mod fold;
mod run;
mod select;

use std::collections::BTreeMap;

use crate::check::Checked;
use crate::error::Error;
use crate::value::Value;

/// The values of variables, which are asked for when an expression comes to them.
pub trait Variables<'v> {
    /// `None` when there is no such variable.
    fn get(&self, name: &str) -> Option<Result<Value<'v>, Error>>;

    /// The field of a variable that has no value as a whole. `None` when it is not one of these.
    fn field(&self, _name: &str, _field: &str) -> Option<Result<Value<'v>, Error>> {
        None
    }
}

impl<'v> Variables<'v> for BTreeMap<&str, Value<'v>> {
    fn get(&self, name: &str) -> Option<Result<Value<'v>, Error>> {
        BTreeMap::get(self, name).cloned().map(Ok)
    }
}

#[derive(Clone, Debug)]
pub struct Program {
    checked: Checked,
    limit: u64,
}

/// What came out, and what it cost.
#[derive(Debug)]
pub struct Outcome<'v> {
    pub result: Result<Value<'v>, Error>,
    pub cost: u64,
}

impl Program {
    /// A program that ends with [`Error::CostLimit`] when it costs more than the limit.
    ///
    /// # Errors
    /// A conversion of a constant fails.
    pub fn new(mut checked: Checked, limit: u64) -> Result<Self, Error> {
        fold::fold(&mut checked)?;
        Ok(Self { checked, limit })
    }

    pub fn eval<'v>(&self, variables: &dyn Variables<'v>) -> Outcome<'v> {
        run::run(&self.checked, variables, self.limit)
    }
}
