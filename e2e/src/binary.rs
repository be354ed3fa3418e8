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
    let output = cargo()
        .args(["build", "--package", "setpoint", "--bin", "setpoint", "--message-format=json-render-diagnostics"])
        .args(["--profile", profile(&own)])
        .current_dir(repository())
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo")?;
    ensure!(output.status.success(), "the binary does not build");
    let mut messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let executable = |message: Value| {
        let ours = message.pointer("/target/name").is_some_and(|name| name == "setpoint");
        message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
    };
    messages.find_map(executable).context("cargo does not say where the binary is")
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
