//! A reader of gofmt-formatted type declarations: only structs and named types, only what their tags and markers say.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// The declarations of one Go package.
#[derive(Debug, Default)]
pub struct Package {
    pub structs: BTreeMap<String, Struct>,
    pub aliases: BTreeMap<String, Alias>,
    /// `GroupName` of register.go.
    pub group: String,
}

#[derive(Debug, Default)]
pub struct Struct {
    pub fields: Vec<Field>,
    /// It implements runtime.Object: it can be sent by itself.
    pub root: bool,
}

/// `type List metav1.List`, with or without `=`.
#[derive(Debug)]
pub struct Alias {
    pub import: Option<String>,
    pub name: String,
    pub root: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Field {
    /// The type, with package names instead of import aliases: `*v1.PodSpec`, `[]RestartPolicy`.
    pub ty: String,
    /// The import path of the (embedded) type, where it has a qualifier.
    pub import: Option<String>,
    /// Empty for a field that is embedded inline.
    pub json: String,
    pub omitempty: bool,
    pub omitzero: bool,
    pub number: Option<u32>,
}

impl Field {
    pub fn pointer(&self) -> bool {
        self.ty.starts_with('*')
    }
}

pub fn read(dir: &Path) -> Result<Package> {
    let mut package = Package::default();
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| format!("read {}", dir.display()))?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "go"))
        .collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.contains("generated") || name.ends_with("_test.go") {
            continue;
        }
        read_file(&std::fs::read_to_string(&path)?, &mut package);
    }
    Ok(package)
}

fn read_file(text: &str, package: &mut Package) {
    let mut imports = BTreeMap::new();
    let mut open: Option<(String, Struct)> = None;
    let mut root = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some((_, fields)) = &mut open {
            if line == "}" {
                let (name, declared) = open.take().unwrap_or_default();
                package.structs.insert(name, declared);
            } else if let Some(field) = field(trimmed, &imports) {
                fields.fields.push(field);
            }
        } else if trimmed.starts_with("//") {
            root |= trimmed.contains("k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object");
        } else if let Some(name) = line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct {")) {
            open = Some((name.to_owned(), Struct { root: std::mem::take(&mut root), ..Default::default() }));
        } else if let Some(name) = line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct{}")) {
            package.structs.insert(name.to_owned(), Struct::default());
            root = false;
        } else if let Some((name, target)) = line.strip_prefix("type ").and_then(|rest| rest.split_once(' ')) {
            let (target, import) = qualified(target.trim_start_matches("= "), &imports);
            let target = target.rsplit('.').next().unwrap_or_default().to_owned();
            let root = std::mem::take(&mut root);
            package.aliases.insert(name.to_owned(), Alias { import, name: target, root });
        } else if let Some(group) = line.strip_prefix("const GroupName = ") {
            package.group = group.trim_matches('"').to_owned();
        } else if let Some((alias, path)) = import(trimmed) {
            imports.insert(alias, path);
        } else if !trimmed.is_empty() {
            root = false;
        }
    }
}

/// `metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"` or the path alone.
fn import(line: &str) -> Option<(String, String)> {
    let (alias, path) = line.strip_suffix('"')?.split_once('"')?;
    let alias = match alias.trim().trim_start_matches("import ") {
        "" => path.rsplit('/').next().unwrap_or(path),
        alias => alias,
    };
    Some((alias.to_owned(), path.to_owned()))
}

/// None for lines that declare nothing which is serialized.
fn field(line: &str, imports: &BTreeMap<String, String>) -> Option<Field> {
    if line.starts_with("//") {
        return None;
    }
    let (declaration, rest) = line.split_once('`')?;
    let tags = rest.split_once('`')?.0;
    let mut options = tag(tags, "json")?.split(',');
    let json = options.next()?.to_owned();
    if json == "-" {
        return None;
    }
    let options: Vec<&str> = options.collect();
    let mut words = declaration.split_whitespace();
    let first = words.next()?;
    let (ty, import) = qualified(words.next().unwrap_or(first), imports);
    let number = tag(tags, "protobuf").and_then(|tag| tag.split(',').nth(1)?.parse().ok());
    Some(Field {
        ty,
        import,
        json,
        omitempty: options.contains(&"omitempty"),
        omitzero: options.contains(&"omitzero"),
        number,
    })
}

fn tag<'a>(tags: &'a str, name: &str) -> Option<&'a str> {
    let rest = &tags[tags.find(&format!("{name}:\""))? + name.len() + 2..];
    rest.split('"').next()
}

/// Replaces the import alias by the package's own name, and finds its path.
fn qualified(ty: &str, imports: &BTreeMap<String, String>) -> (String, Option<String>) {
    let start = ty.rfind(['*', ']']).map_or(0, |at| at + 1);
    let (prefix, name) = ty.split_at(start);
    let Some((alias, name)) = name.split_once('.') else { return (ty.to_owned(), None) };
    let path = imports.get(alias).cloned().unwrap_or_else(|| alias.to_owned());
    let package = path.rsplit('/').next().unwrap_or(alias);
    (format!("{prefix}{package}.{name}"), Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_and_aliases() {
        let source = r#"package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const GroupName = "apps"

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Root is sent by itself.
type Root struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty" protobuf:"bytes,1,opt,name=metadata"`
	Items []*Item `json:"items" protobuf:"bytes,2,rep,name=items"` // trailing
	hidden int
	Skipped string `json:"-"`
}

type Item metav1.List

type Empty struct{}
"#;
        let mut package = Package::default();
        read_file(source, &mut package);
        assert_eq!(package.group, "apps");
        let root = &package.structs["Root"];
        assert!(root.root && !package.structs["Empty"].root);
        let rows: Vec<_> =
            root.fields.iter().map(|f| (f.json.as_str(), f.ty.as_str(), f.number, f.omitempty)).collect();
        let expected = [
            ("", "v1.TypeMeta", None, false),
            ("metadata", "v1.ObjectMeta", Some(1), true),
            ("items", "[]*Item", Some(2), false),
        ];
        assert_eq!(rows, expected);
        assert_eq!(root.fields[1].import.as_deref(), Some("k8s.io/apimachinery/pkg/apis/meta/v1"));
        assert_eq!(package.aliases["Item"].name, "List");
    }
}
