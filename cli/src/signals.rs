//! How a person and a supervisor end a process that serves.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// True for ^C, false for a termination that leaves containers alone.
pub async fn ending() -> Result<bool> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => true,
        _ = terminate.recv() => false,
    })
}
