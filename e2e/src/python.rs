//! A Python with the packages of `e2e/clients/python`, in a virtual environment that is made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

use crate::cache::Slot;
use crate::{Cluster, Program};

static INSTALLED: OnceLock<Result<Option<PathBuf>, String>> = OnceLock::new();

/// The interpreter. `None`: this machine has no Python, or one that cannot make virtual environments.
///
/// # Errors
/// The packages cannot be installed; there is no Python in CI.
pub fn python() -> Result<Option<PathBuf>> {
    let path = INSTALLED.get_or_init(|| install().map_err(|error| format!("{error:#}")));
    path.clone().map_err(|error| anyhow!("{error}"))
}

/// A script of this repository.
pub fn script(name: &str) -> PathBuf {
    crate::binary::repository().join("e2e/clients/python").join(name)
}

/// The interpreter as a client of a cluster.
pub fn program(cluster: &Cluster, python: &Path) -> Program {
    // What is compiled would stay beside the scripts, in the repository.
    cluster.program(python).env("KUBECONFIG", cluster.kubeconfig()).env("PYTHONDONTWRITEBYTECODE", "1")
}

fn install() -> Result<Option<PathBuf>> {
    let Some(system) = crate::find_program("python3").filter(|path| runs(path, "import ensurepip, venv")) else {
        crate::missing("the Python clients need python3 with venv: install python3-venv")?;
        return Ok(None);
    };
    let requirements = script("requirements.txt");
    let version = Command::new(&system).arg("-VV").output().context("ask Python for its version")?.stdout;
    let pins = fs::read(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let folder = Slot::new("python", &[pins, version])?.fill(|folder| {
        eprintln!("installing Python clients, once");
        run(Command::new(&system).args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]);
        run(pip.args(["--require-hashes", "-r"]).arg(&requirements))
    })?;
    // Not the scripts beside it: they still name the folder in which they were made.
    Ok(Some(folder.join("bin/python")))
}

fn runs(python: &Path, code: &str) -> bool {
    Command::new(python).args(["-c", code]).output().is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} fails");
    Ok(())
}
