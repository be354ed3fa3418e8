//! Where the Go modules lie on this machine; they are downloaded when absent.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub struct Modules {
    pub kubernetes: PathBuf,
    api: PathBuf,
    apimachinery: PathBuf,
    apiextensions: PathBuf,
    aggregator: PathBuf,
}

/// Module directories of Kubernetes `version` (`1.35.4`); its libraries are released as `v0.35.4`.
pub fn locate(version: &str) -> Result<Modules> {
    let cache = go_env("GOMODCACHE")?;
    let (_, rest) = version.split_once('.').context("a version has dots")?;
    let library = format!("v0.{rest}");
    let module = |name: &str, version: &str| -> Result<PathBuf> {
        let dir = Path::new(&cache).join(format!("k8s.io/{name}@{version}"));
        if !dir.is_dir() {
            // Outside a module, so that no go.mod of the surroundings gets a say.
            let status = Command::new("go")
                .args(["mod", "download", &format!("k8s.io/{name}@{version}")])
                .current_dir(std::env::temp_dir())
                .status()
                .context("run go mod download")?;
            ensure!(status.success(), "go mod download k8s.io/{name}@{version}: {status}");
        }
        Ok(dir)
    };
    Ok(Modules {
        kubernetes: module("kubernetes", &format!("v{version}"))?,
        api: module("api", &library)?,
        apimachinery: module("apimachinery", &library)?,
        apiextensions: module("apiextensions-apiserver", &library)?,
        aggregator: module("kube-aggregator", &library)?,
    })
}

impl Modules {
    /// The directory of an OpenAPI package name such as `io.k8s.api.core.v1`.
    pub fn package_dir(&self, package: &str) -> Option<PathBuf> {
        let roots = [
            ("io.k8s.api.", &self.api),
            ("io.k8s.apimachinery.", &self.apimachinery),
            ("io.k8s.apiextensions-apiserver.", &self.apiextensions),
            ("io.k8s.kube-aggregator.", &self.aggregator),
        ];
        roots.iter().find_map(|(prefix, root)| Some(root.join(package.strip_prefix(prefix)?.replace('.', "/"))))
    }
}

fn go_env(name: &str) -> Result<String> {
    let output = Command::new("go").args(["env", name]).output().context("run go env")?;
    ensure!(output.status.success(), "go env {name}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
