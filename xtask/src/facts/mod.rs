//! `cargo xtask facts`: the schema facts of Kubernetes, from upstream's own data files into `api/facts`.
//!
//! Four sources, because none has everything:
//! - `swagger.json` and the OpenAPI v3 documents: which types are public, references, formats, required, list types, defaults;
//! - `generated.proto`: field numbers and wire types, and the messages that the OpenAPI documents do not list;
//! - the generated Go of those documents: enumerations and unions;
//! - the Go structs: which fields are pointers, `omitempty` or embedded, and the Go type names that decoding errors quote.
//!
//! [`merge`] joins them field by field and fails where they disagree; [`write`] prints the text that `api::schema` reads.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

mod generated;
mod golang;
mod merge;
mod modules;
mod openapi;
mod proto;
mod quoted;
mod write;

#[derive(clap::Args)]
pub struct Options {
    /// Kubernetes version, as the Go modules spell it
    #[arg(long, default_value = "1.35.4")]
    version: String,
}

pub fn run(options: &Options) -> Result<()> {
    let modules = modules::locate(&options.version)?;
    let openapi = openapi::read(&modules.kubernetes.join("api/openapi-spec"))?;
    let generated = generated::read(&modules.kubernetes.join("pkg/generated/openapi/zz_generated.openapi.go"))?;
    let facts = merge::merge(&modules, &openapi, &generated)?;
    let minor = options.version.rsplit_once('.').map_or(options.version.as_str(), |(minor, _)| minor);
    let target = target_dir().join(format!("kubernetes-{minor}.facts"));
    let text = write::text(&facts, &options.version);
    std::fs::write(&target, &text).with_context(|| format!("write {}", target.display()))?;
    #[expect(clippy::print_stdout, reason = "the answer of a command line tool")]
    {
        let fields: usize = facts.iter().map(|ty| ty.fields.len()).sum();
        println!("{}: {} types, {fields} fields, {} bytes", target.display(), facts.len(), text.len());
    }
    Ok(())
}

fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/facts")
}
