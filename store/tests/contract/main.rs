//! What every backend must do. `suite` is the contract as single cases, `model` as a property; `crash`, `damage`
//! and `full_disk` are about what only a backend with files can get wrong.

mod crash;
mod damage;
mod full_disk;
mod model;
mod suite;
mod support;
