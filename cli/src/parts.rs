//! What runs in this process until it is told to stop.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Parts that do not end by themselves by then are dropped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Tasks with one cancellation. Dropping it is the crash of all of them, which they survive.
#[derive(Debug)]
pub struct Parts {
    pub cancel: CancellationToken,
    tasks: JoinSet<()>,
    /// A start that fails half way ends what it began.
    _stop: DropGuard,
}

impl Parts {
    pub fn new() -> Self {
        let cancel = CancellationToken::new();
        Self { cancel: cancel.clone(), tasks: JoinSet::new(), _stop: cancel.drop_guard() }
    }

    pub fn spawn(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(part);
    }

    pub async fn stop(mut self) {
        self.cancel.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
            tracing::warn!("a part of the cluster did not end in time");
        }
    }
}
