//! The newest revision, read once for all who wait for it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::{Error, Result, Revision};

/// Every caller needs a read that begins after its call. One read at a time is under way; those who come while it is share
/// the next one.
pub(super) struct Newest {
    /// Counts the callers.
    calls: AtomicU64,
    /// Of the last read: the last caller that had come before it began, and what it found, or why it found nothing.
    last: Mutex<(u64, Found)>,
}

type Found = std::result::Result<Revision, String>;

impl Default for Newest {
    fn default() -> Newest {
        Newest { calls: AtomicU64::new(0), last: Mutex::new((0, Ok(Revision(0)))) }
    }
}

impl Newest {
    pub async fn get<F: Future<Output = Result<Revision>>>(&self, read: impl FnOnce() -> F) -> Result<Revision> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.0 < call {
            let served = self.calls.load(Ordering::SeqCst);
            let found = read().await;
            *last = (served, found.map_err(|error| error.to_string()));
        }
        last.1.clone().map_err(Error::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn those_who_wait_share_a_read_that_begins_after_they_came() {
        let (newest, reads) = (Newest::default(), AtomicU64::new(0));
        let read = || async {
            let number = reads.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(Revision(number))
        };
        let callers = (0..100).map(|_| newest.get(read));
        let found = futures::future::try_join_all(callers).await.unwrap();
        assert_eq!(found[0], Revision(1), "the first one found nobody to share with");
        assert!(found[1..].iter().all(|found| *found == Revision(2)), "{found:?}");
        assert_eq!(newest.get(read).await.unwrap(), Revision(3), "a read of the past is of no use");
    }
}
