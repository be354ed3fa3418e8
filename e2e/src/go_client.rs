//! Clients built from Go modules of this repository: once for each state of the module.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::Slot;
use crate::go::{self, Recipe};

/// What is built, and from where.
#[derive(Debug)]
pub struct GoClient<'a> {
    /// With the version that the module pins.
    pub name: &'a str,
    /// The folder of the module, from the root of the repository.
    pub module: &'a str,
    /// The import path of its `main`, or `.`.
    pub package: &'a str,
}

impl GoClient<'_> {
    /// Its path. `None`: this machine has no Go.
    ///
    /// # Errors
    /// It does not build; there is no Go in CI.
    pub fn build(&self) -> Result<Option<PathBuf>> {
        let source = crate::binary::repository().join(self.module);
        let slot = Slot::new(self.name, &self.state(&source)?)?;
        let recipe = Recipe {
            name: self.name,
            module: &source,
            package: self.package,
            tests: false,
            linker_flags: "-s -w",
            takes: "a few minutes",
        };
        if go::build(&recipe, slot.path())? {
            return Ok(Some(slot.path().to_owned()));
        }
        crate::missing(&format!("building {} needs Go", self.name))?;
        Ok(None)
    }

    /// Everything that decides what is built.
    fn state(&self, source: &Path) -> Result<Vec<Vec<u8>>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(source).with_context(|| format!("read {}", source.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| ["mod", "sum", "go"].iter().any(|wanted| extension == *wanted))
            {
                files.push(path);
            }
        }
        files.sort();
        let mut state = vec![self.package.into()];
        for file in files {
            state.push(fs::read(&file).with_context(|| format!("read {}", file.display()))?);
        }
        Ok(state)
    }
}
