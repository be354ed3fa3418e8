//! What the crate promises to controllers, against a fake API server.

mod driver;
mod fake;
mod informer;
mod lease;

use std::time::Duration;

/// Wait until the condition holds; it must within seconds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
