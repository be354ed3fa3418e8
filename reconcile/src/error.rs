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
    /// The server says otherwise than the cache did.
    #[error("act on what is outdated: {0}")]
    Outdated(&'static str),
    /// For reconcilers of their own: what they could not do, in one sentence.
    #[error("{0}")]
    Incomplete(String),
    #[error("decide: panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// The decision was made from outdated state; deciding again is the cure, and nobody needs to hear of it.
    pub fn is_outdated(&self) -> bool {
        match self {
            Error::Request { source: kube::Error::Api(status), .. } => {
                status.is_conflict() || status.is_already_exists()
            }
            Error::Outdated(_) => true,
            _ => false,
        }
    }
}
