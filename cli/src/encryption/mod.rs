//! Encryption at rest: in the store of a data directory Secrets are ciphertext. The keys are a file of their own there, so that
//! a copy of the store alone tells nobody anything. Older keys stay in it: the history of the store has values that they
//! encrypted. On etcd the keys come from a file that its servers share ([`config`]).

pub mod config;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Subcommand;
use store::{Embedded, Keys, Sealed, Store};

use crate::files::write_secret;
use crate::output;
use crate::session::DEFAULT_DATA_DIR;
use crate::up::Layout;

/// Keys of the store, not of the API: where Secrets are.
const SECRETS: &str = "core/secrets/";

/// Keys that encrypt Secrets on disk
#[derive(Debug, clap::Args)]
pub struct Encryption {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new key. From the next start on it encrypts Secrets; those that are there are encrypted anew then
    Rotate {
        /// Where the cluster keeps everything
        #[arg(long, default_value = DEFAULT_DATA_DIR)]
        data_dir: PathBuf,
    },
}

impl Encryption {
    pub fn run(self) -> Result<()> {
        let Action::Rotate { data_dir } = self.action;
        let path = Layout::new(&data_dir)?.encryption_keys();
        let missing = || format!("there is no cluster with encrypted Secrets in {}", data_dir.display());
        let mut keys = read(&path)?.with_context(missing)?;
        keys.rotate()?;
        write_secret(&path, &keys.to_text())?;
        output::line(format_args!("{}: a new key is the first one; start the cluster again to use it", path.display()));
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Keys>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.parse().with_context(|| format!("read {}", path.display()))?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// The store with its Secrets sealed by the keys in the file, which are made at the first start.
pub async fn seal(store: Embedded, path: &Path) -> Result<Arc<dyn Store>> {
    let keys = match read(path)? {
        Some(keys) => keys,
        None => {
            let keys = Keys::generate()?;
            write_secret(path, &keys.to_text())?;
            keys
        }
    };
    let prefix = format!("{}{SECRETS}", apiserver::cache::ROOT);
    let sealed = Arc::new(Sealed::new(Arc::new(store), keys, vec![prefix.into()]));
    has_all_keys(&sealed, path).await?;
    seal_again(sealed.clone());
    Ok(sealed)
}

/// Before anything is read: a server without a key for what is there would try for ever.
async fn has_all_keys(sealed: &Sealed, path: &Path) -> Result<()> {
    sealed.has_all_keys().await.with_context(|| {
        format!(
            "a key was taken from {} that is still needed: put it back, behind the others, and take it away once the cluster \
             has run with the new ones",
            path.display()
        )
    })
}

/// In the background: what older keys have encrypted is encrypted with the newest one.
fn seal_again(sealed: Arc<Sealed>) {
    tokio::spawn(async move {
        match sealed.seal_again().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "values are encrypted with the newest key now"),
            Err(error) => tracing::warn!(%error, "some values stay encrypted with an older key"),
        }
    });
}
