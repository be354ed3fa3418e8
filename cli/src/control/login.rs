//! Users of other issuers: the file that says who they are, read at the start and again when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::front::oidc::{self, Login};
use tokio_util::sync::CancellationToken;

use super::ISSUER;

/// Between two looks at the file: another program writes it, also by way of links.
const INTERVAL: Duration = Duration::from_secs(10);

/// Reads the file into `login`; the text is what [`follow`] goes on from.
pub fn open(path: &Path, login: &Login) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    login.replace(oidc::accept(&text, &[ISSUER])?);
    Ok(text)
}

/// Until cancelled. What is wrong with the file is said once, and what it said before holds.
pub async fn follow(path: PathBuf, mut seen: String, login: Arc<Login>, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = cancel.cancelled() => return,
        }
        let text = match tokio::fs::read_to_string(&path).await {
            Ok(text) if text == seen => continue,
            Ok(text) => text,
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "the authentication configuration cannot be read");
                continue;
            }
        };
        match oidc::accept(&text, &[ISSUER]) {
            Ok(accepted) => {
                login.replace(accepted);
                tracing::info!(path = %path.display(), "the authentication configuration was read again");
            }
            Err(error) => tracing::warn!(%error, path = %path.display(), "failed to change who may log in"),
        }
        seen = text;
    }
}
