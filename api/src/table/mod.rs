//! Objects as rows: what `kubectl get` shows.
//!
//! A kind's [`Column`]s are static data in `kinds/`; a kind without any has its name and creation time. Custom resources bring
//! [`CustomColumn`]s. `build` makes the `meta.k8s.io/v1` Table that the server sends, `print` the text that the client shows.
//! The source of columns and cells is upstream's `pkg/printers/internalversion`.

mod build;
mod column;
mod custom;
mod kinds;
mod print;

pub use build::{AUTOSCALER_FIELDS, IncludeObject, TEMPLATE_GENERATION, TableOptions, build, metadata_alone, row};
pub use column::{Column, Columns};
pub use custom::{CustomColumn, CustomColumnError};
pub use kinds::columns;
pub use print::{PrintOptions, Printer, print};
