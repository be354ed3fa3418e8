//! The kubectls that the tests drive: the machine's own, and one of the target version, built from its Go module.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

use crate::go::Recipe;

/// The version of the module in `e2e/kubectl`.
pub const VERSION: &str = "v1.35.4";

#[derive(Clone, Debug)]
pub struct Kubectl {
    pub path: PathBuf,
    /// For messages.
    pub name: &'static str,
    /// Streams go over SPDY instead of WebSockets.
    pub spdy: bool,
}

impl Kubectl {
    /// The same program, told not to use WebSockets.
    pub fn over_spdy(&self) -> Self {
        Self { spdy: true, ..self.clone() }
    }
}

/// Every kubectl there is; the one of the target version first.
pub fn all() -> Result<Vec<Kubectl>> {
    let system =
        crate::find_program("kubectl").map(|path| Kubectl { path, name: "the machine's kubectl", spdy: false });
    let found: Vec<Kubectl> = built()?.into_iter().chain(system).collect();
    if found.is_empty() {
        bail!("there is no kubectl to test with: install Go (to build one) or kubectl");
    }
    Ok(found)
}

static BUILT: OnceLock<Result<Option<PathBuf>, String>> = OnceLock::new();

/// The one of the target version; `None` without Go.
pub fn built() -> Result<Option<Kubectl>> {
    let path = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let path = path.as_ref().map_err(|error| anyhow!("{error}"))?;
    Ok(path.clone().map(|path| Kubectl { path, name: "kubectl of the target version", spdy: false }))
}

/// Builds it unless an earlier run did. `None`: this machine has no Go.
fn build() -> Result<Option<PathBuf>> {
    let source = crate::binary::repository().join("e2e/kubectl");
    let module = fs::read(source.join("go.mod")).context("read kubectl's module")?;
    let mut hasher = DefaultHasher::new();
    (module, fs::read(source.join("main.go"))?).hash(&mut hasher);
    let path = crate::go::cache()?.join(format!("kubectl-{VERSION}-{:016x}", hasher.finish()));
    let recipe = Recipe {
        name: &format!("kubectl {VERSION}"),
        module: &source,
        package: ".",
        tests: false,
        linker_flags: &format!("-s -w -X k8s.io/component-base/version.gitVersion={VERSION}"),
        takes: "a few minutes",
    };
    if crate::go::build(&recipe, &path)? {
        return Ok(Some(path));
    }
    crate::missing(&format!("building kubectl {VERSION} needs Go"))?;
    Ok(None)
}
