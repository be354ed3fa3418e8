//! Selectors of lists, watches and controllers: [`LabelSelector`] (query syntax and `metav1.LabelSelector` objects) and
//! [`FieldSelector`].

mod field;
mod label;
mod parse;

pub use field::{FieldSelector, FieldSelectorError, FieldTerm};
pub use label::{LabelSelector, Labels, Operator, Requirement, validate_label_selector};
pub use parse::LabelSelectorError;
