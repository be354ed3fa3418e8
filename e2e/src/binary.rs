//! The `setpoint` binary under test, built once for each run of the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Its path. The first caller builds it, in the profile of these tests.
pub fn setpoint() -> Result<&'static Path> {
    match BINARY.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
        Ok(path) => Ok(path),
        Err(error) => Err(anyhow!("{error}")),
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The cargo that runs this, as a person's shell would start it: what it tells this program about its own package would make
/// build scripts run again, and with them all that depends on them.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

fn build() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find the tests' own file")?;
    executable("setpoint", &["--package", "setpoint", "--bin", "setpoint", "--profile", profile(&own)])
}

/// A program that has a workspace of its own in this repository, built into the folder where the tests were.
pub fn apart(name: &str, folder: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find the tests' own file")?;
    // That of one target lies in that of all.
    let folders = own.ancestors().filter(|folder| folder.join("CACHEDIR.TAG").exists());
    let target = folders.last().context("find cargo's folder")?;
    let manifest = repository().join(folder).join("Cargo.toml");
    let (manifest, target) = (manifest.to_string_lossy(), target.to_string_lossy());
    executable(name, &["--locked", "--manifest-path", &manifest, "--target-dir", &target])
}

fn executable(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let output = cargo()
        .args(["build", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .current_dir(repository())
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo")?;
    ensure!(output.status.success(), "{name} does not build");
    let mut messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let path = |message: Value| {
        let ours = message.pointer("/target/name").is_some_and(|found| found == name);
        message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
    };
    messages.find_map(path).with_context(|| format!("cargo does not say where {name} is"))
}

/// The cargo profile that put this file where it is: tests in `<target>/<profile>/deps`, programs in `<target>/<profile>`.
fn profile(own: &Path) -> &str {
    let mut folders = own.ancestors().skip(1).filter_map(|folder| folder.file_name()?.to_str());
    match folders.find(|name| *name != "deps") {
        None | Some("debug") => "dev",
        Some(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_that_of_the_tests() {
        let cases = [
            ("t/debug/deps/x", "dev"),
            ("t/release/deps/x", "release"),
            ("t/dist/deps/x", "dist"),
            ("t/debug/x", "dev"),
            ("t/release/x", "release"),
        ];
        for (path, expected) in cases {
            assert_eq!(profile(Path::new(path)), expected);
        }
    }
}
