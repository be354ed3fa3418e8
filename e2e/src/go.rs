//! Programs built from Go modules of this repository, once: they are kept outside of it, so that a clean clone finds them again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};

/// How one program is made.
#[derive(Clone, Debug)]
pub struct Recipe<'a> {
    /// For messages.
    pub name: &'a str,
    /// Folder of the module whose `go.mod` pins the versions.
    pub module: &'a Path,
    /// The main package; `.` is the module's own.
    pub package: &'a str,
    /// The tests of the package, compiled, instead of the package.
    pub tests: bool,
    pub linker_flags: &'a str,
    /// How long it takes without any cache, for the person who waits.
    pub takes: &'a str,
}

/// Makes `path` unless an earlier run did; several processes may ask at once. `false`: this machine has no Go.
pub fn build(recipe: &Recipe<'_>, path: &Path) -> Result<bool> {
    if path.exists() {
        return Ok(true);
    }
    let Some(go) = crate::find_program("go") else { return Ok(false) };
    let folder = path.parent().context("a program lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let lock = File::create(path.with_extension("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if !path.exists() {
        compile(&go, recipe, path)?;
    }
    Ok(true)
}

fn compile(go: &Path, recipe: &Recipe<'_>, path: &Path) -> Result<()> {
    eprintln!("building {}, once: this takes {}", recipe.name, recipe.takes);
    let unfinished = path.with_extension("new");
    let mut command = Command::new(go);
    if recipe.tests {
        command.args(["test", "-c"]);
    } else {
        command.arg("build");
    }
    let status = command
        .args(["-trimpath", "-ldflags", recipe.linker_flags, "-o"])
        .arg(&unfinished)
        .arg(recipe.package)
        .current_dir(recipe.module)
        .env("CGO_ENABLED", "0")
        .status()
        .context("run go")?;
    ensure!(status.success(), "{} does not build", recipe.name);
    fs::rename(&unfinished, path).with_context(|| format!("write {}", path.display()))
}

/// Where what is built stays.
pub fn cache() -> Result<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(named.or_else(home).context("there is neither XDG_CACHE_HOME nor HOME")?.join("setpoint"))
}
