//! Manifests as a person names them: files, folders, standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::yaml;

/// One object of a manifest, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub source: String,
    pub object: Value,
}

/// Reads all objects of the files in order; a folder gives its `.yaml`, `.yml` and `.json` files; a List gives its items.
pub fn read(files: &[PathBuf], recursive: bool) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in files {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("read standard input")?;
            parse("STDIN", &text, &mut documents)?;
            continue;
        }
        let mut found = Vec::new();
        collect(path, recursive, true, &mut found)?;
        if found.is_empty() {
            bail!(
                "error reading {:?}: recognized file extensions are [.json .yaml .yml]",
                [path.display().to_string()]
            );
        }
        for file in found {
            let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            parse(&file.display().to_string(), &text, &mut documents)?;
        }
    }
    if documents.is_empty() {
        bail!("no objects passed to apply");
    }
    Ok(documents)
}

fn collect(path: &Path, recursive: bool, named: bool, found: &mut Vec<PathBuf>) -> Result<()> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("the path {:?} does not exist", path.display().to_string())
        }
        other => other.with_context(|| format!("read {}", path.display()))?,
    };
    if metadata.is_dir() {
        if !named && !recursive {
            return Ok(());
        }
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| collect(entry, recursive, false, found));
    }
    let known =
        path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
    if named || known {
        found.push(path.to_owned());
    }
    Ok(())
}

fn parse(source: &str, text: &str, documents: &mut Vec<Document>) -> Result<()> {
    for object in yaml::documents(text).with_context(|| format!("error parsing {source}"))? {
        let kind = object["kind"].as_str().unwrap_or_default();
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let why = match (version.is_empty(), kind.is_empty()) {
            (true, true) => "[apiVersion not set, kind not set]",
            (true, false) => "apiVersion not set",
            (false, true) => "kind not set",
            (false, false) => "",
        };
        if !why.is_empty() {
            bail!("error validating {source:?}: error validating data: {why}");
        }
        match object["items"].as_array().filter(|_| kind.ends_with("List")) {
            Some(items) => {
                let items = items.iter().cloned();
                documents.extend(items.map(|object| Document { source: source.to_owned(), object }));
            }
            None => documents.push(Document { source: source.to_owned(), object }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_lists_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("b.yml", "apiVersion: v1\nkind: B\n");
        write("a.yaml", "apiVersion: v1\nkind: List\nitems: [{kind: A1}, {kind: A2}]\n");
        write("notes.txt", "not a manifest");
        write("deep/c.json", "{\"apiVersion\": \"v1\", \"kind\": \"C\"}");
        let kinds = |recursive| {
            let documents = read(&[folder.path().to_owned()], recursive).unwrap();
            documents.iter().map(|document| document.object["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(false), ["A1", "A2", "B"]);
        assert_eq!(kinds(true), ["A1", "A2", "B", "C"]);
        let cases = [
            ("missing.yaml", "", "does not exist"),
            ("tabs.yaml", "a:\n\t- b\n", "error converting YAML to JSON"),
            ("nokind.yaml", "apiVersion: v1\n", "error validating data: kind not set"),
            ("noversion.yaml", "kind: Pod\n", "error validating data: apiVersion not set"),
            ("neither.yaml", "metadata: {}\n", "[apiVersion not set, kind not set]"),
            ("empty.yaml", "# nothing\n", "no objects"),
        ];
        for (name, text, expected) in cases {
            if !text.is_empty() {
                write(name, text);
            }
            let error = format!("{:#}", read(&[folder.path().join(name)], false).unwrap_err());
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
