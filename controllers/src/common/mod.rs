//! What several controllers decide alike.

pub mod claim;
pub mod finalizers;
pub mod firstseen;
pub mod nodes;
pub mod pods;
pub mod selector;
pub mod services;
#[cfg(test)]
pub mod testing;
pub mod volumes;

/// Go leaves zeros out of a status; so do we, that a status written compares equal when read back.
pub fn nonzero<N: Default + PartialEq>(number: N) -> Option<N> {
    (number != N::default()).then_some(number)
}
