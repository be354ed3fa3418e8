//! Leader election by a Lease: of several processes one does the work.
//!
//! The rules are client-go's `leaderelection`: a lease counts as held until it has not changed for its duration *by the
//! observer's clock*, for clocks differ. Who cannot renew in time stops before another may begin: `renew_deadline` is shorter
//! than `duration`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::core::ObjectMeta;
use kube::core::params::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

#[derive(Clone, Debug)]
pub struct Config {
    pub namespace: String,
    pub name: String,
    /// Who we are; different for every process.
    pub identity: String,
    pub duration: Duration,
    /// Without a renewal for so long, the leader stops.
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

impl Config {
    /// With upstream's times: 15, 10 and 2 seconds.
    pub fn new(name: &str, identity: &str) -> Self {
        Self {
            namespace: "kube-system".to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// What to do about the lease as it was read.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// Somebody else has it.
    Wait,
    /// Write this; it takes or renews the lease.
    Write(Box<Lease>),
}

/// `unchanged_for`: how long we have seen the lease as it is.
fn step(config: &Config, found: Option<&Lease>, unchanged_for: Duration, now: Timestamp) -> Step {
    let old = found.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let holder = old.holder_identity.as_deref().unwrap_or("");
    let ours = holder == config.identity;
    let duration = Duration::from_secs(u64::try_from(old.lease_duration_seconds.unwrap_or(0)).unwrap_or(0));
    if !holder.is_empty() && !ours && unchanged_for < duration {
        return Step::Wait;
    }
    let transitions = old.lease_transitions.unwrap_or(0);
    let spec = LeaseSpec {
        holder_identity: Some(config.identity.clone()),
        lease_duration_seconds: Some(i32::try_from(config.duration.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: if ours { old.acquire_time } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if ours || found.is_none() { transitions } else { transitions + 1 }),
        ..LeaseSpec::default()
    };
    let metadata = found.map_or_else(
        || ObjectMeta {
            name: Some(config.name.clone()),
            namespace: Some(config.namespace.clone()),
            ..ObjectMeta::default()
        },
        |lease| lease.metadata.clone(),
    );
    Step::Write(Box::new(Lease { metadata, spec: Some(spec) }))
}

/// Campaign until elected, then run `work` with a token that is cancelled when the lease is lost or `cancel` is; again, until
/// `cancel`. The lease is given back at the end, so that another need not wait it out.
pub async fn lead<F, W>(client: Client, config: Config, cancel: CancellationToken, work: W)
where
    F: Future<Output = ()>,
    W: Fn(CancellationToken) -> F,
{
    let mut elector = Elector { api: Api::namespaced(client, &config.namespace), config, seen: None };
    while !cancel.is_cancelled() {
        if !elector.campaign(&cancel).await {
            return;
        }
        info!(lease = elector.config.name, identity = elector.config.identity, "leading");
        let leading = cancel.child_token();
        tokio::join!(elector.hold(leading.clone()), work(leading));
        if cancel.is_cancelled() {
            elector.release().await;
        } else {
            warn!(lease = elector.config.name, "the lead is lost");
        }
    }
}

struct Elector {
    api: Api<Lease>,
    config: Config,
    /// The resourceVersion seen last, and since when.
    seen: Option<(Option<String>, Instant)>,
}

impl Elector {
    /// Returns whether we lead; otherwise it was cancelled.
    async fn campaign(&mut self, cancel: &CancellationToken) -> bool {
        loop {
            match self.try_once().await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => debug!(%error, "lease not taken"),
            }
            tokio::select! {
                () = cancel.cancelled() => return false,
                () = tokio::time::sleep(self.config.retry_period) => {}
            }
        }
    }

    /// Renew until that fails for too long, or until the cancellation.
    async fn hold(&mut self, leading: CancellationToken) {
        let mut renewed = Instant::now();
        while !leading.is_cancelled() {
            let left = self.config.renew_deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.try_once()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                // Somebody else has it.
                Ok(Ok(false)) => break,
                Ok(Err(error)) => warn!(%error, "lease not renewed, retrying"),
                Err(_) => break,
            }
            if renewed.elapsed() >= self.config.renew_deadline {
                break;
            }
            tokio::select! {
                () = leading.cancelled() => return,
                () = tokio::time::sleep(self.config.retry_period) => {}
            }
        }
        leading.cancel();
    }

    /// Returns whether the lease is ours now.
    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(&self.config.name).await?;
        let version = found.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => Instant::now(),
        };
        self.seen = Some((version, since));
        let lease = match step(&self.config, found.as_ref(), since.elapsed(), Timestamp::now()) {
            Step::Wait => return Ok(false),
            Step::Write(lease) => lease,
        };
        let written = match found {
            None => self.api.create(&PostParams::default(), &lease).await,
            Some(_) => self.api.replace(&self.config.name, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => {
                self.seen = Some((lease.metadata.resource_version, Instant::now()));
                Ok(true)
            }
            // Another was quicker.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn release(&self) {
        let released = async {
            let Some(mut lease) = self.api.get_opt(&self.config.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() != Some(&self.config.identity) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            self.api.replace(&self.config.name, &PostParams::default(), &lease).await.map(drop)
        };
        if let Err(error) = released.await {
            debug!(%error, "lease not given back, it runs out by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str) -> Lease {
        let spec = serde_json::json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3,
            "acquireTime": "2024-01-01T00:00:00.000000Z", "renewTime": "2024-01-01T00:00:00.000000Z"});
        serde_json::from_value(serde_json::json!({"metadata": {"name": "l", "resourceVersion": "7"}, "spec": spec}))
            .expect("a lease")
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_or_has_run_out() {
        let config = Config::new("l", "me");
        let now = Timestamp::from_second(1_704_067_300).expect("a time");
        // Name, what is there, for how many seconds, and the transitions after taking it.
        let table = [
            ("none", None, 0, Some(0)),
            ("another's", Some("other"), 14, None),
            ("another's that has run out", Some("other"), 15, Some(4)),
            ("given back", Some(""), 0, Some(4)),
            ("ours", Some("me"), 0, Some(3)),
        ];
        for (name, holder, seconds, expected) in table {
            let found = holder.map(lease);
            let step = step(&config, found.as_ref(), Duration::from_secs(seconds), now);
            let transitions = match &step {
                Step::Wait => None,
                Step::Write(lease) => lease.spec.as_ref().and_then(|spec| spec.lease_transitions),
            };
            assert_eq!(transitions, expected, "{name}");
            if let (Step::Write(lease), Some("me")) = (&step, holder) {
                let spec = lease.spec.as_ref().expect("a spec");
                assert_eq!(spec.acquire_time.as_ref().map(|time| time.0.as_second()), Some(1_704_067_200));
                assert_eq!(spec.renew_time.as_ref().map(|time| time.0), Some(now));
                assert_eq!(lease.metadata.resource_version.as_deref(), Some("7"), "a change in between is a conflict");
            }
        }
    }
}
