//! One file for each group of verbs. They read options, run the pipeline or the cache, and answer with a reply.

mod apply;
mod continuation;
mod delete;
mod get;
mod list;
mod patch;
mod patched;
mod watch;
mod write;

pub(crate) use apply::{APPLY, Configuration};
pub(crate) use delete::{delete, delete_collection};
pub(crate) use get::get;
pub(crate) use list::{list, wanted};
pub(crate) use patch::{Patching, go_text, patch};
pub(crate) use watch::watch;
pub(crate) use write::{create, update};
