//! Takes the descriptions that `kubectl explain` shows from the source of the k8s-openapi crate, which is in the build anyway:
//! they are other people's sentences, so this repository does not contain them. Also names the state of what OpenAPI documents
//! are made of, for their hashes.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The module of k8s-openapi that has our version of Kubernetes.
const VERSION: &str = "v1_35";

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/openapi");
    println!("cargo::rerun-if-changed=facts");
    println!("cargo::rerun-if-changed={}", root.join("../Cargo.lock").display());
    let mut text = String::new();
    match find_crate(&root) {
        Some(source) => describe_tree(&source.join("src").join(VERSION), &mut text)?,
        None => println!("cargo::warning=k8s-openapi's source was not found: explain will show no descriptions"),
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let file = fs::File::create(out.join("descriptions.deflate"))?;
    let mut encoder = flate2::write::DeflateEncoder::new(file, flate2::Compression::best());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()?;
    let mut state = DefaultHasher::new();
    text.hash(&mut state);
    for file in files(&root.join("src/openapi"))?.into_iter().chain(files(&root.join("facts"))?) {
        fs::read(file)?.hash(&mut state);
    }
    println!("cargo::rustc-env=OPENAPI_INPUTS={:016x}", state.finish());
    Ok(())
}

/// Where cargo has the crate: in its registry, or vendored. Of what other platforms need a fresh machine has nothing.
fn find_crate(root: &Path) -> Option<PathBuf> {
    let (cargo, target) = (env::var_os("CARGO")?, env::var_os("TARGET")?);
    let manifest = root.join("Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline", "--manifest-path"])
        .arg(manifest)
        .arg("--filter-platform")
        .arg(target)
        .output()
        .ok()?;
    let metadata = String::from_utf8(output.stdout).ok()?;
    let manifests = metadata.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let folders = manifests.filter_map(|manifest| Path::new(manifest).parent());
    let is_it = |folder: &&Path| {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == "k8s-openapi"
            || name.strip_prefix("k8s-openapi-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    folders.filter(is_it).find(|folder| folder.join("src").join(VERSION).is_dir()).map(Path::to_path_buf)
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?)
        } else {
            found.insert(path);
        }
    }
    Ok(found)
}

fn describe_tree(folder: &Path, text: &mut String) -> io::Result<()> {
    for file in files(folder)? {
        describe_type(&fs::read_to_string(file)?, text);
    }
    Ok(())
}

/// Each type's file has its JSON schema for the schemars feature, one member a line: the name after `fn schema_name`, the type's
/// description at depth one, those of its properties at depth three.
fn describe_type(source: &str, text: &mut String) {
    let Some((_, schema)) = source.split_once("fn schema_name()") else { return };
    let quoted = |line: &str| {
        let start = line.find('"')?;
        Some(line[start..=line.rfind('"')?].to_owned())
    };
    let Some(name) = schema.lines().nth(1).and_then(quoted) else { return };
    let mut description = "\"\"".to_owned();
    let mut fields = String::new();
    let mut property = None;
    for line in schema.lines() {
        let content = line.trim_start();
        let depth = (line.len() - content.len()) / 4;
        let text = content.strip_prefix("\"description\": ").filter(|text| text.starts_with('"'));
        let value = text.map(|text| text.trim_end_matches(',').to_owned());
        // A property that refers to another type gets its description by a statement.
        let value = value.or_else(|| quoted(content.split_once("insert(\"description\".into(), ")?.1));
        match (depth, value) {
            (3, Some(value)) => description = value,
            (4, None) if content.ends_with("\": {") || content.ends_with("\": ({") => property = quoted(content),
            (5, Some(value)) => {
                if let Some(name) = property.take() {
                    fields.push_str(&format!(" {}\t{value}\n", name.trim_matches('"')));
                }
            }
            _ => {}
        }
    }
    text.push_str(&format!("{}\t{description}\n{fields}", name.trim_matches('"')));
}
