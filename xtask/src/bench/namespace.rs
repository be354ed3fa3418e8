//! A network namespace for the clusters, so that their links, rules and ports meet nobody's. It has no name: it ends with the
//! last process in it.

use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::thread::UnshareFlags;

/// Moves this thread, and all that it starts from now on, into a new namespace whose loopback is up.
pub fn enter() -> Result<()> {
    // SAFETY: the file table stays shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.context("make a network namespace")?;
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("run ip (of iproute2)")?;
    if !status.success() {
        bail!("ip link set lo up ended with {status}");
    }
    Ok(())
}
