//! etcd, built from its own module into a cache outside the repository.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::fs::{FlockOperation, flock};

/// The version of the module beside this file.
pub const VERSION: &str = "v3.6.5";

static BUILT: OnceLock<Result<Option<PathBuf>, String>> = OnceLock::new();

/// The path of the program. `None`, with a message: this machine has no Go to build it, which is an error in CI.
pub fn binary() -> Result<Option<PathBuf>> {
    let path = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    path.clone().map_err(|error| anyhow!("{error}"))
}

/// Builds it unless an earlier run did.
fn build() -> Result<Option<PathBuf>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let module = fs::read(source.join("go.mod")).context("read etcd's module")?;
    let mut hasher = DefaultHasher::new();
    (module, fs::read(source.join("main.go"))?).hash(&mut hasher);
    let folder = cache()?;
    let path = folder.join(format!("etcd-{VERSION}-{:016x}", hasher.finish()));
    if path.exists() {
        return Ok(Some(path));
    }
    let Some(go) = go() else {
        let what = format!("building etcd {VERSION} needs Go");
        if std::env::var_os("CI").is_some_and(|value| value == "true") {
            bail!("{what}");
        }
        eprintln!("skipped: {what}");
        return Ok(None);
    };
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let lock = File::create(path.with_extension("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if !path.exists() {
        compile(&go, source, &path)?;
    }
    Ok(Some(path))
}

fn compile(go: &Path, source: &Path, path: &Path) -> Result<()> {
    eprintln!("building etcd {VERSION}, once: this takes a minute");
    let unfinished = path.with_extension("new");
    let status = Command::new(go)
        .args(["build", "-ldflags", "-s -w", "-o"])
        .arg(&unfinished)
        .arg(".")
        .current_dir(source)
        .env("CGO_ENABLED", "0")
        .status()
        .context("run go")?;
    ensure!(status.success(), "etcd does not build");
    fs::rename(&unfinished, path).with_context(|| format!("write {}", path.display()))
}

fn go() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/go/bin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join("go")).find(|path| path.is_file())
}

/// Outside the repository, so that a clean clone finds it again.
fn cache() -> Result<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(named.or_else(home).context("there is neither XDG_CACHE_HOME nor HOME")?.join("setpoint"))
}
