//! The members of the etcd cluster, and requests to whichever of them answers.
//!
//! One member is asked until it fails, then the next. A request is only repeated when that cannot do harm: a read, or a write
//! that was certainly not sent. A write that may have taken place is [`Error::Unavailable`] to the caller, as upstream's is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::EtcdOptions;
use super::client::{Member, Refusal, is_of_member, is_unsent, refusal, words};
use crate::{Error, Result};

/// A member that says nothing for so long is given up.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// How long a request looks for a member that answers.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two rounds of all members, doubled each time.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Members {
    all: Vec<Member>,
    /// Which one is asked.
    current: AtomicUsize,
}

/// What etcd answered.
pub(super) type Answer<T> = std::result::Result<T, Refusal>;

/// Whether a request may be sent again when nobody knows what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Always,
    /// Only when it was not sent.
    Unsent,
}

impl Members {
    /// Connects to none of them yet.
    pub fn new(options: &EtcdOptions) -> Result<Members> {
        let endpoints = options.endpoints.iter().map(|endpoint| endpoint.trim_end_matches('/'));
        let all: Vec<Member> = endpoints
            .map(|endpoint| Member::new(endpoint, options.tls.as_ref()).map_err(Error::Open))
            .collect::<Result<_>>()?;
        if all.is_empty() {
            return Err(Error::Open("there is no etcd endpoint".to_owned()));
        }
        Ok(Members { all, current: AtomicUsize::new(0) })
    }

    /// The member that is asked now, and its number for [`Members::give_up`].
    pub fn current(&self) -> (usize, &Member) {
        let number = self.current.load(Ordering::Relaxed) % self.all.len();
        (number, &self.all[number])
    }

    /// From now on the next one is asked, unless another request has said so already.
    pub fn give_up(&self, number: usize) {
        let next = (number + 1) % self.all.len();
        let _ = self.current.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Asks until a member answers. The inner error is etcd's answer.
    pub async fn ask<T, F>(&self, repeat: Repeat, request: impl Fn(Member) -> F) -> Result<Answer<T>>
    where
        F: Future<Output = std::result::Result<T, Status>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::default();
        loop {
            let (number, member) = self.current();
            let (why, unsent) = match tokio::time::timeout(ANSWER, request(member.clone())).await {
                Ok(Ok(answer)) => return Ok(Ok(answer)),
                Ok(Err(status)) => match refusal(&status) {
                    Some(refusal) => return Ok(Err(refusal)),
                    None if !is_of_member(&status) => return Err(Error::Unavailable(words(&status))),
                    None => (words(&status), is_unsent(&status)),
                },
                Err(_) => (format!("no answer from etcd within {ANSWER:?}"), false),
            };
            self.give_up(number);
            let again = unsent || repeat == Repeat::Always;
            if !again || Instant::now() >= deadline {
                return Err(Error::Unavailable(why));
            }
            tracing::debug!(member = number, why, "asking another member of etcd");
            backoff.pause(self).await;
        }
    }
}

/// All members are tried at once, then there is a pause.
#[derive(Default)]
pub(super) struct Backoff {
    failures: usize,
}

impl Backoff {
    pub async fn pause(&mut self, members: &Members) {
        let count = members.all.len();
        self.failures += 1;
        if self.failures.is_multiple_of(count) {
            let doubled = 1u32 << (self.failures / count - 1).min(10);
            tokio::time::sleep((PAUSE * doubled).min(LONGEST_PAUSE)).await;
        }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
