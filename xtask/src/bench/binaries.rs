//! What is measured and what measures, built with optimization.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

pub struct Binaries {
    pub setpoint: PathBuf,
    /// Folder of the crates' examples.
    pub examples: PathBuf,
}

/// Builds the examples, this program, and setpoint unless it is given.
pub fn build(setpoint: Option<&Path>) -> Result<Binaries> {
    let mut command = e2e::binary::cargo();
    command.args(["build", "--release", "-p", "xtask", "-p", "store", "-p", "runtime", "--bins", "--examples"]);
    if setpoint.is_none() {
        command.args(["-p", "setpoint"]);
    }
    let status = command.status().context("run cargo")?;
    if !status.success() {
        bail!("cargo build ended with {status}");
    }
    // This program is <target>/debug/xtask: what was just built is beside its folder.
    let own = std::env::current_exe().context("find this program's file")?;
    let release = own.parent().and_then(Path::parent).context("this program is in no target folder")?.join("release");
    let setpoint = setpoint.map_or_else(|| release.join("setpoint"), Path::to_owned);
    Ok(Binaries { setpoint: setpoint.canonicalize().context("find setpoint")?, examples: release.join("examples") })
}

impl Binaries {
    /// Goes on as the optimized build of this program, with the same arguments.
    pub fn run_again(&self) -> Result<()> {
        let program = self.examples.with_file_name("xtask");
        // The last --binary would win, but clap refuses a second one.
        let mut arguments = std::env::args_os().skip(1).peekable();
        let mut command = Command::new(&program);
        while let Some(argument) = arguments.next() {
            if argument == "--binary" {
                arguments.next();
            } else if !argument.to_string_lossy().starts_with("--binary=") {
                command.arg(argument);
            }
        }
        command.arg("--binary").arg(&self.setpoint).arg("--examples").arg(&self.examples);
        Err(command.exec()).with_context(|| format!("run {}", program.display()))
    }
}
