//! What every backend must do. `suite` is the contract as single cases, `model` as a property; `crash` and `damage` are
//! about what only a backend with files can get wrong.

mod suite;
mod support;
