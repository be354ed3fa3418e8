//! A reader of the `generated.proto` files: the subset of proto2 that upstream's generator writes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Messages by their OpenAPI name: the proto package `k8s.io.api.core.v1` is `io.k8s.api.core.v1` there.
pub type Messages = BTreeMap<String, Vec<Field>>;

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub number: u32,
    pub label: Label,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    Single,
    Repeated,
    Map,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    Bytes,
    Message(String),
}

pub fn read(path: &Path, into: &mut Messages) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut package = String::new();
    let mut message: Option<(String, Vec<Field>)> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        if let Some(name) = line.strip_prefix("package ") {
            package = openapi_name(name.trim_end_matches(';'));
        } else if let Some(name) = line.strip_prefix("message ") {
            message = Some((format!("{package}.{}", name.trim_end_matches('{').trim()), Vec::new()));
        } else if line == "}" {
            if let Some((name, fields)) = message.take() {
                into.insert(name, fields);
            }
        } else if let Some((_, fields)) = &mut message {
            fields.push(field(line, &package).with_context(|| format!("{}: {line}", path.display()))?);
        }
    }
    Ok(())
}

fn field(line: &str, package: &str) -> Result<Field> {
    let (declaration, number) = line.trim_end_matches(';').split_once(" = ").context("no number")?;
    let number = number.split_whitespace().next().context("no number")?.parse()?;
    let (declared, name) = declaration.rsplit_once(' ').context("no name")?;
    let (label, kind) = if let Some(kind) = declared.strip_prefix("optional ") {
        (Label::Single, kind)
    } else if let Some(kind) = declared.strip_prefix("repeated ") {
        (Label::Repeated, kind)
    } else if let Some(kind) = declared.strip_prefix("map<string, ") {
        (Label::Map, kind.trim_end_matches('>'))
    } else {
        bail!("unknown label");
    };
    let kind = match kind {
        "string" => Kind::String,
        "bool" => Kind::Bool,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        name if name.starts_with('.') => Kind::Message(openapi_name(&name[1..])),
        name if name.starts_with(char::is_uppercase) => Kind::Message(format!("{package}.{name}")),
        _ => bail!("unknown type {kind}"),
    };
    Ok(Field { name: name.to_owned(), number, label, kind })
}

/// Proto packages write a dash of the Go path as an underscore.
fn openapi_name(name: &str) -> String {
    name.replacen("k8s.io.", "io.k8s.", 1).replace('_', "-")
}
