//! Conditions with a deadline: the only way in which tests wait.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a cluster on a busy machine may take for what it does at once on an idle one.
pub const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok(Some)`. An `Err` is not yet, too; it is what the error says when time is up.
///
/// # Errors
/// `what` did not happen within [`PATIENCE`].
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    within(PATIENCE, what, ask)
}

/// [`eventually`] with a deadline of its own.
pub fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = ask();
        if let Ok(Some(found)) = answer {
            return Ok(found);
        }
        if Instant::now() > deadline {
            match answer {
                Err(error) => return Err(error.context(format!("within {limit:?} not: {what}"))),
                Ok(_) => bail!("within {limit:?} not: {what}"),
            }
        }
        thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_condition_or_the_deadline() {
        let mut asked = 0;
        let third = eventually("three", || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(third.unwrap(), 3);
        let error = within(Duration::ZERO, "never", || Ok(None::<()>)).unwrap_err();
        assert!(error.to_string().contains("never"));
        let error = within(Duration::ZERO, "never", || -> Result<Option<()>> { bail!("the reason") }).unwrap_err();
        assert!(format!("{error:#}").contains("the reason"));
    }
}
