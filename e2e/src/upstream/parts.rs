//! The programs that are built from the module in `e2e/upstream`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::go::{self, Recipe};
use crate::kubectl;

/// Of Kubernetes; the module's `go.mod` pins it.
pub const VERSION: &str = kubectl::VERSION;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Etcd,
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Kubectl,
    /// The official end-to-end tests, the conformance suite among them.
    E2eTest,
    /// What runs them, several at a time.
    Ginkgo,
}

impl Part {
    pub const ALL: [Self; 7] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::E2eTest,
        Self::Ginkgo,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::E2eTest => "e2e.test",
            Self::Ginkgo => "ginkgo",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// `None`: it has a smaller module of its own.
    fn package(self) -> Option<&'static str> {
        Some(match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubectl => return None,
            Self::E2eTest => "k8s.io/kubernetes/test/e2e",
            Self::Ginkgo => "github.com/onsi/ginkgo/v2/ginkgo",
        })
    }

    /// The program's path, built by the first who asks. `None`: it is not there and this machine has no Go.
    pub fn find(self) -> Result<Option<PathBuf>> {
        let Some(package) = self.package() else {
            return Ok(kubectl::built()?.map(|kubectl| kubectl.path));
        };
        let module = crate::binary::repository().join("e2e/upstream");
        let pins = fs::read(module.join("go.mod")).context("read upstream's module")?;
        // The versions are all that matters: another tool in tools.go leaves what is there as it is.
        let hash: String = Sha256::digest(pins).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let path = go::cache()?.join(format!("upstream-{hash}")).join(self.name());
        let recipe = Recipe {
            name: &format!("{} of Kubernetes {VERSION}", self.name()),
            module: &module,
            package,
            tests: self == Self::E2eTest,
            linker_flags: &linker_flags(),
            takes: if matches!(self, Self::Etcd | Self::Ginkgo) { "a minute" } else { "minutes" },
        };
        Ok(go::build(&recipe, &path)?.then_some(path))
    }

    /// [`Self::find`] for those who cannot go on without.
    pub fn path(self) -> Result<PathBuf> {
        let found = self.find()?;
        found.with_context(|| format!("{} is built from its Go module: install Go 1.25 or newer", self.name()))
    }
}

/// Without these, a server of version v0.0.0 comes out.
fn linker_flags() -> String {
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in [("gitVersion", VERSION), ("gitMajor", "1"), ("gitMinor", "35")] {
            flags += &format!(" -X {package}.{name}={value}");
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_names_what_is_built_from_it() {
        let module = crate::binary::repository().join("e2e/upstream");
        let tools = fs::read_to_string(module.join("tools.go")).unwrap();
        for part in Part::ALL {
            if let Some(package) = part.package() {
                assert!(tools.contains(&format!("_ \"{package}\"")), "tools.go lacks {package}");
            }
            assert_eq!(Part::of_name(part.name()), Some(part));
        }
        let pins = fs::read_to_string(module.join("go.mod")).unwrap();
        assert!(pins.contains(&format!("k8s.io/kubernetes {VERSION}\n")));
    }
}
