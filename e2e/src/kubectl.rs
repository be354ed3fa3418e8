//! The kubectls that the tests drive: the machine's own, and one of the target version, built from its Go module.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::fs::{FlockOperation, flock};

/// The version of the module in `e2e/kubectl`.
pub const VERSION: &str = "v1.35.4";

#[derive(Clone, Debug)]
pub struct Kubectl {
    pub path: PathBuf,
    /// For messages.
    pub name: &'static str,
}

/// Every kubectl there is; the one of the target version first.
pub fn all() -> Result<Vec<Kubectl>> {
    let system = crate::find_program("kubectl").map(|path| Kubectl { path, name: "the machine's kubectl" });
    let found: Vec<Kubectl> = built()?.into_iter().chain(system).collect();
    if found.is_empty() {
        bail!("there is no kubectl to test with: install Go (to build one) or kubectl");
    }
    Ok(found)
}

static BUILT: OnceLock<Result<Option<PathBuf>, String>> = OnceLock::new();

fn built() -> Result<Option<Kubectl>> {
    let path = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let path = path.as_ref().map_err(|error| anyhow!("{error}"))?;
    Ok(path.clone().map(|path| Kubectl { path, name: "kubectl of the target version" }))
}

/// Builds it unless an earlier run did. `None`: this machine has no Go.
fn build() -> Result<Option<PathBuf>> {
    let source = crate::binary::repository().join("e2e/kubectl");
    let module = fs::read(source.join("go.mod")).context("read kubectl's module")?;
    let mut hasher = DefaultHasher::new();
    (module, fs::read(source.join("main.go"))?).hash(&mut hasher);
    let folder = cache()?;
    let path = folder.join(format!("kubectl-{VERSION}-{:016x}", hasher.finish()));
    if path.exists() {
        return Ok(Some(path));
    }
    let Some(go) = crate::find_program("go") else {
        crate::missing(&format!("building kubectl {VERSION} needs Go"))?;
        return Ok(None);
    };
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let lock = File::create(path.with_extension("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if !path.exists() {
        compile(&go, &source, &path)?;
    }
    Ok(Some(path))
}

fn compile(go: &Path, source: &Path, path: &Path) -> Result<()> {
    eprintln!("building kubectl {VERSION}, once: this takes a few minutes");
    let unfinished = path.with_extension("new");
    let version = format!("-s -w -X k8s.io/component-base/version.gitVersion={VERSION}");
    let status = Command::new(go)
        .args(["build", "-ldflags", &version, "-o"])
        .arg(&unfinished)
        .arg(".")
        .current_dir(source)
        .env("CGO_ENABLED", "0")
        .status()
        .context("run go")?;
    ensure!(status.success(), "kubectl does not build");
    fs::rename(&unfinished, path).with_context(|| format!("write {}", path.display()))
}

/// Outside the repository, so that a clean clone finds it again.
fn cache() -> Result<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(named.or_else(home).context("there is neither XDG_CACHE_HOME nor HOME")?.join("setpoint"))
}
