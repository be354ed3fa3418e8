//! Which of several control planes does the work of a component.

use std::future::Future;
use std::time::Duration;

use kube::Client;
use reconcile::lease::{self, lead};
use tokio_util::sync::CancellationToken;

use crate::parts::Parts;

/// Upstream's: after so long without a word of the leader another one takes over.
pub const LEASE: Duration = Duration::from_secs(15);
/// For what a leader does at its start: also where the last one died and its lease must run out.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// How a control plane takes part in elections.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its own, and kept over restarts: then it need not wait until its own lease has run out. Only one process may have it,
    /// which the lock on its data directory sees to.
    pub identity: String,
    /// For how long a leader of which nothing is heard is believed to be there.
    pub lease: Duration,
}

/// Runs `work` while this process leads, again and again; or, without others (there is no candidate), once.
pub fn run<W, F>(name: &'static str, candidate: Option<&Candidate>, client: Client, parts: &mut Parts, work: W)
where
    W: Fn(CancellationToken) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let cancel = parts.cancel.clone();
    let Some(candidate) = candidate else {
        parts.spawn(work(cancel));
        return;
    };
    let duration = candidate.lease;
    // Upstream's proportions: who cannot renew ends before another one begins.
    let config = lease::Config {
        duration,
        renew_deadline: duration * 2 / 3,
        retry_period: duration * 2 / 15,
        ..lease::Config::new(name, &candidate.identity)
    };
    parts.spawn(async move { lead(client, config, cancel, work).await });
}
