//! Who manages which fields (`metadata.managedFields`), on the way of a write. The rules are in [`api::apply`]; here is what they
//! need of the server.
//!
//! An object in flight has its managers beside it and not in its tree: [`list`] has them as text as long as nobody asks, reads
//! them out of what is stored and writes them back into it. That keeps them off the way of everything that looks at objects, and
//! a write that changes nothing does not even parse them. [`track`] finds out what a request changed; [`reset`] is what the
//! server takes back from a request, so that nobody manages it; [`versions`] are the forms in which managers name fields.

mod list;
mod reset;
mod track;
mod versions;

pub(crate) use list::{Managers, keep_reset, read_stored};
pub(crate) use track::{refused, tracker};
