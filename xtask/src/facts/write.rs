//! The text form, documented where it is read: `api/src/schema/text.rs`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use super::merge::{Field, Presence, Shape, Type, split};

pub fn text(types: &[Type], version: &str) -> String {
    let mut text = format!(
        "# Schema facts of Kubernetes v{version} (Apache-2.0, see NOTICE). Written by `cargo xtask facts`: do not edit.\n"
    );
    let mut packages = BTreeMap::new();
    for ty in types {
        let (package, _) = split(&ty.name);
        packages.insert(short_package(package), package);
    }
    for (short, package) in &packages {
        line(&mut text, format_args!("package {short} {package}"));
    }
    for ty in types {
        line(&mut text, format_args!("type {}{}", short(&ty.name), if ty.atomic { " atomic" } else { "" }));
        for kind in &ty.kinds {
            let slash = if kind.group.is_empty() { "" } else { "/" };
            line(&mut text, format_args!("kind {}{slash}{} {}", kind.group, kind.version, kind.kind));
        }
        if let Some(union) = &ty.union {
            let union = json!({"discriminator": union.discriminator, "fields-to-discriminateBy": union.members});
            line(&mut text, format_args!("union {union}"));
        }
        for field in &ty.fields {
            line(&mut text, format_args!(" {}", row(field)));
        }
    }
    text
}

fn row(field: &Field) -> String {
    let pointer = if field.presence == Presence::Pointer { "*" } else { "" };
    let mut words = vec![field.name.clone(), format!("{pointer}{}", shape(&field.shape))];
    if field.number != 0 {
        let path: Vec<String> = field.within.iter().chain([&field.number]).map(u32::to_string).collect();
        words.push(path.join("."));
    }
    if field.presence == Presence::OmitEmpty {
        words.push("omitempty".into());
    }
    if field.null {
        words.push("null".into());
    }
    if field.required {
        words.push("required".into());
    }
    match field.list_type.as_deref() {
        Some("map") => words.push(format!("list=map:{}", field.list_map_keys.join(","))),
        Some(kind) => words.push(format!("list={kind}")),
        None => {}
    }
    if field.atomic_map {
        words.push("map=atomic".into());
    }
    if field.says_granular {
        words.push("map=granular".into());
    }
    if !field.patch_strategy.is_empty() {
        words.push(format!("patch={}", field.patch_strategy));
    }
    words.extend(field.patch_merge_key.as_ref().map(|key| format!("key={key}")));
    words.extend(field.form.map(|form| format!("form={form}")));
    if !field.embedded.is_empty() {
        words.push(format!("in={}", field.embedded.join(".")));
    }
    words.extend(field.go_type.as_ref().map(|name| format!("go={name}")));
    if !field.enumeration.is_empty() {
        words.push(format!("enum={}", field.enumeration.join("|").replace(' ', "~")));
    }
    words.extend(field.default.as_ref().map(|default| format!("default={default}")));
    words.join(" ")
}

fn shape(shape_: &Shape) -> String {
    match shape_ {
        Shape::Scalar(name) => (*name).to_owned(),
        Shape::Struct(name) => short(name),
        Shape::List(item) => format!("[]{}", shape(item)),
        Shape::Map(item) => format!("{{}}{}", shape(item)),
    }
}

/// `core.v1.Pod`
fn short(name: &str) -> String {
    let (package, name) = split(name);
    format!("{}.{name}", short_package(package))
}

fn short_package(package: &str) -> String {
    let (parent, version) = split(package);
    format!("{}.{version}", split(parent).1)
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{arguments}");
}
