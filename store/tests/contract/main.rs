//! What every backend must do. `suite` is the contract as single cases, `model` as a property; `crash`, `damage`
//! and `full_disk` are about what only a backend with files can get wrong, `members` about what only etcd can.

mod crash;
mod damage;
mod etcd;
mod full_disk;
mod members;
mod model;
mod suite;
mod support;
