//! A node's certificates are renewed before they end, by asking with the ones that it has, as upstream's kubelet does it.

use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::front::pki::{Identity, Request};
use jiff::{SignedDuration, Timestamp};

use super::certificate::{Purpose, ask};
use super::client;
use super::record::{Folder, Keys};

/// Before the clock is looked at again: it may have been set, and a machine may have slept.
const LOOK: Duration = Duration::from_secs(600);
/// Before another try. The certificates are good for weeks yet.
const RETRY: Duration = Duration::from_secs(60);

/// Returns when the folder has new certificates. `after`: instead of when they are due.
pub async fn renewed(folder: &Folder, after: Option<Duration>) {
    let now = Timestamp::now();
    let due = match after {
        Some(after) => now.saturating_add(SignedDuration::try_from(after).unwrap_or_default()).unwrap_or(now),
        None => earliest(folder).unwrap_or_else(|error| {
            tracing::warn!(error = %format!("{error:#}"), "not known when the node's certificates end");
            now
        }),
    };
    loop {
        let left = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
        if !left.is_zero() {
            tokio::time::sleep(left.min(LOOK)).await;
            continue;
        }
        match renew(folder).await {
            Ok(()) => return tracing::info!("the node's certificates are renewed"),
            Err(error) => {
                tracing::warn!(error = %format!("{error:#}"), "the node's certificates are not renewed, trying again");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn earliest(folder: &Folder) -> Result<Timestamp> {
    let random = crate::random();
    let of = |identity: Identity| -> Result<Timestamp> {
        let (begin, end) = identity.life().context("read a certificate")?;
        Ok(due(begin, end, random))
    };
    Ok(of(folder.client()?)?.min(of(folder.serving()?.1)?))
}

/// Between 70 and 90 % of its life, so that nodes that began together do not all ask at once (client-go's certificate manager).
fn due(begin: Timestamp, end: Timestamp, random: u64) -> Timestamp {
    let life = end.duration_since(begin).as_secs();
    let part = life / 10 * 7 + i64::try_from(random % 1000).unwrap_or_default() * (life / 5) / 1000;
    begin.saturating_add(SignedDuration::from_secs(part)).unwrap_or(end)
}

async fn renew(folder: &Folder) -> Result<()> {
    let record = folder.load()?.context("there is no node any more")?;
    let (authority, server) = (folder.serving()?.0, folder.server()?);
    let own = client::from_kubeconfig(&folder.kubeconfig(), "kubelet").await?;
    let user = format!("system:node:{}", record.name);
    let subject = Request { common_name: &user, organizations: &["system:nodes"], ..Request::default() };
    let client = ask(&own, Purpose::Client, &subject).await?;
    let serving = Request { names: &[&record.name], addresses: &[record.address.into()], ..subject };
    let serving = ask(&own, Purpose::Serving, &serving).await?;
    folder.save(&record, &server, &Keys { authority, client, serving })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_renewed_in_the_last_third_of_their_life() {
        let time = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        for (random, expected) in [(0, 1700), (500, 1800), (999, 1899), (1000, 1700)] {
            assert_eq!(due(time(1000), time(2000), random), time(expected), "{random}");
        }
    }
}
