//! Why a reconcile has to be repeated.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("{what}: {source}")]
    Request {
        /// The action in the words of [`crate::plan::Action`].
        what: String,
        #[source]
        source: kube::Error,
    },
    #[error("build or send a request: {0}")]
    Client(#[from] kube::Error),
    /// The object that was decided about is not there any more, or on its way out.
    #[error("act for an object that is gone")]
    RootGone,
    #[error("decide: panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// The decision was made from outdated state; deciding again is the cure, and nobody needs to hear of it.
    pub fn is_outdated(&self) -> bool {
        match self {
            Error::Request { source: kube::Error::Api(status), .. } => status.is_conflict() || status.is_already_exists(),
            Error::RootGone => true,
            _ => false,
        }
    }
}
