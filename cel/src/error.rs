//! Why an expression has no value.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `&&` and `||` pass over it when the other side decides.
    #[error("{0}")]
    Failed(Cow<'static, str>),
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
}

impl Error {
    pub const OVERFLOW: Self = Self::Failed(Cow::Borrowed("integer overflow"));
    pub const UINT_OVERFLOW: Self = Self::Failed(Cow::Borrowed("unsigned integer overflow"));
    /// No function of that name takes such values.
    pub const NO_OVERLOAD: Self = Self::Failed(Cow::Borrowed("no such overload"));

    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(text.into())
    }
}
