//! Two candidates for one lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::eventually;
use crate::fake::FakeApi;
use reconcile::lease::{Config, lead};
use tokio_util::sync::CancellationToken;

/// How many lead, and how many did at most at a time.
#[derive(Clone, Default)]
struct Leading {
    now: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
}

fn candidate(api: &FakeApi, name: &str, leading: &Leading) -> CancellationToken {
    let cancel = CancellationToken::new();
    let config = Config { retry_period: Duration::from_millis(5), ..Config::new("work", name) };
    let leading = leading.clone();
    tokio::spawn(lead(api.client(), config, cancel.clone(), move |token| {
        let leading = leading.clone();
        async move {
            let now = leading.now.fetch_add(1, Ordering::SeqCst) + 1;
            leading.most.fetch_max(now, Ordering::SeqCst);
            token.cancelled().await;
            leading.now.fetch_sub(1, Ordering::SeqCst);
        }
    }));
    cancel
}

#[tokio::test]
async fn one_leads_and_the_other_follows_when_it_goes() {
    let (api, leading) = (FakeApi::default(), Leading::default());
    let holds = |name: &str| api.list("leases").iter().any(|lease| lease["spec"]["holderIdentity"] == name);
    let first = candidate(&api, "first", &leading);
    eventually("the first leads", || holds("first")).await;
    let second = candidate(&api, "second", &leading);
    // The first has renewed several times while the second tried.
    let renewals = || api.writes().iter().filter(|write| *write == "PUT leases").count();
    eventually("renewals", || renewals() >= 3).await;
    assert!(holds("first"));
    first.cancel();
    eventually("the second leads", || holds("second")).await;
    eventually("the second works", || leading.now.load(Ordering::SeqCst) == 1).await;
    assert_eq!(leading.most.load(Ordering::SeqCst), 1);
    second.cancel();
}
